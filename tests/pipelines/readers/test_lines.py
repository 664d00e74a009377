import bz2
import gzip

import pytest

from millstream.pipelines.readers import lines
from millstream.pipelines.readers.lines import first_line
from millstream.tracking.errors import BadData

PACKERS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}
packed = pytest.mark.parametrize("ending", PACKERS)


def written(folder, ending, content):
    path = folder / f"rows.csv{ending}"
    path.write_bytes(PACKERS[ending](content))
    return path


@packed
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b""], ids=["unix", "windows", "mac", "none"])
def test_the_first_line_ends_as_spark_takes_it_and_has_no_mark(tmp_path, ending, end):
    content = "\ufeffgröße,b".encode() + end + (b"1,2" + end if end else b"")
    assert first_line(written(tmp_path, ending, content)) == "größe,b"


@packed
def test_the_first_line_is_read_in_the_declared_encoding(tmp_path, ending):
    path = written(tmp_path, ending, "größe,b\n1,2\n".encode("latin-1"))
    assert first_line(path, "latin-1") == "größe,b"
    with pytest.raises(BadData, match=rf"rows\.csv{ending}:1: not UTF-8 \(byte 2\)"):
        first_line(path)


@pytest.mark.bad_input
@packed
def test_a_file_without_a_line_is_refused(tmp_path, ending):
    with pytest.raises(BadData, match="empty; expected lines of text"):
        first_line(written(tmp_path, ending, b""))


@pytest.mark.bad_input
@pytest.mark.security
@packed
def test_no_more_of_a_line_is_read_than_a_header_may_have(tmp_path, ending, monkeypatch):
    monkeypatch.setattr(lines, "LONGEST_HEADER", 1000)
    assert first_line(written(tmp_path, ending, b"a" * 5000)) == "a" * 1000


@pytest.mark.bad_input
@pytest.mark.parametrize("ending", [".gz", ".bz2"])
@pytest.mark.parametrize("damage", ["other", "cut", "changed"])
def test_a_packed_file_that_is_damaged_is_refused(tmp_path, ending, damage):
    path = written(tmp_path, ending, b"age,pay\n" * 40)
    whole = path.read_bytes()
    path.write_bytes({"other": b"age,pay\n", "cut": whole[:14], "changed": whole[:10] + b"\xff" * 30}[damage])
    with pytest.raises(BadData, match=rf"rows\.csv{ending}: cannot be read .*get the file again"):
        first_line(path)

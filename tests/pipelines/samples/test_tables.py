import csv
import gzip
import io
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millstream.pipelines.samples import csv_text
from millstream.pipelines.samples.tables import sample
from millstream.tracking.errors import BadData

DRAW = random.Random(0)
ROWS = [[f"{DRAW.gauss(0, 1):.3f}", DRAW.choice(["Graz", "Wien, 3rd", 'the "old" one']), str(at)] for at in range(50)]


def written(path, delimiter=",", header=("x", "town", "n"), encoding="utf-8", end="\n"):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerows([*([header] if header else []), *ROWS])
    path.write_bytes(text.getvalue().encode(encoding))
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_rows_are_read_whatever_the_delimiter(tmp_path, delimiter, encoding):
    found = sample(written(tmp_path / "it.csv", delimiter, encoding=encoding, end="\r\n"))
    assert found.names == ("x", "town", "n")
    assert [list(row) for row in zip(*found.columns, strict=True)] == ROWS
    assert (found.delimiter, found.header, found.is_complete, found.total) == (delimiter, True, True, 50)
    assert found.lines[0] == 2


def test_a_file_without_a_header_is_seen_by_its_numbers(tmp_path):
    assert not sample(written(tmp_path / "it.csv", header=None)).header


def test_a_file_of_words_has_a_header_that_is_none_of_its_values(tmp_path):
    (tmp_path / "it.csv").write_text("colour,shape\n" + "red,round\nblue,flat\n" * 20)
    assert sample(tmp_path / "it.csv").header
    (tmp_path / "it.csv").write_text("red,round\nblue,flat\n" * 20)
    assert not sample(tmp_path / "it.csv").header


def test_a_large_file_is_sampled_from_all_its_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_text, "WHOLE_BYTES", 12_000)
    (tmp_path / "it.csv").write_text("at,v\n" + "".join(f"{at},{at % 3}\n" for at in range(20_000)))
    found = sample(tmp_path / "it.csv")
    places = [int(one) for one in found.columns[0]]
    assert not found.is_complete
    assert 500 < found.rows < 5000
    assert places == sorted(set(places))
    assert places[0] == 0
    assert places[-1] > 18_000
    assert found.total == pytest.approx(20_000, rel=0.15)


def test_packed_files_and_other_encodings(tmp_path):
    whole = written(tmp_path / "it.csv").read_bytes()
    (tmp_path / "it.csv.gz").write_bytes(gzip.compress(whole))
    assert sample(tmp_path / "it.csv.gz").rows == 50
    (tmp_path / "it.csv").write_bytes(b"ville,n\n" + "Nîmes,1\n".encode("latin-1") * 30)
    found = sample(tmp_path / "it.csv")
    assert (found.encoding, found.columns[0][0]) == ("latin-1", "Nîmes")


def test_quotation_marks_between_tabs_are_letters_where_they_do_not_pair(tmp_path):
    (tmp_path / "it.tsv").write_text("text\tlabel\n" + '"a quote begins\tyes\nanother line\tno\n' * 10)
    found = sample(tmp_path / "it.tsv")
    assert not found.is_quoted
    assert found.columns[0][0] == '"a quote begins'


def test_rows_of_another_width_are_counted(tmp_path):
    (tmp_path / "it.csv").write_text("a,b\n" + "1,2\n" * 20 + "1,2,3\n")
    assert sample(tmp_path / "it.csv").odd == ("line 22: 3 values",)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        (bytes(range(256)), "NUL"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, message):
    (tmp_path / "it.csv").write_bytes(content)
    with pytest.raises(BadData, match=message):
        sample(tmp_path / "it.csv")


def test_a_parquet_file_is_sampled_evenly(tmp_path):
    pq.write_table(pa.table({"n": range(10_000)}), tmp_path / "it.parquet", row_group_size=2500)
    found = sample(tmp_path / "it.parquet", most=100)
    assert (found.rows, found.total, found.is_complete) == (100, 10_000, False)
    assert found.columns[0][0] == 0
    assert found.columns[0][-1] >= 9900


@pytest.mark.bad_input
def test_a_damaged_parquet_file_is_refused(tmp_path):
    (tmp_path / "it.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(BadData, match="cannot be read as Parquet"):
        sample(tmp_path / "it.parquet")


@pytest.mark.bad_input
def test_json_lines_name_the_first_that_is_none(tmp_path):
    (tmp_path / "it.jsonl").write_text('{"a": 1, "b": null}\n{"a": 2}\nno\n')
    with pytest.raises(BadData, match="jsonl:3: is no JSON object: 'no'"):
        sample(tmp_path / "it.jsonl")

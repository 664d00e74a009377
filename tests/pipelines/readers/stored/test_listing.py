"""Which files are read where they lie, and what their folders name."""

import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.pipelines.readers.stored.listing import listed, partition
from millstream.pipelines.readers.stored.tasks import MOST_FILES, spread
from millstream.pipelines.readers.stored.text_files import _lines
from millstream.pipelines.table import StoredFile
from millstream.tracking.errors import BadData


def put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_files_are_named_by_their_paths_below_the_root_and_hidden_ones_are_left_out(tmp_path):
    put(
        tmp_path,
        "b.csv",
        "a/2020/c.csv",
        "_SUCCESS",
        "a/.c.csv.crc",
        "_temporary/0/d.csv",
        "a/_started",
        "__MACOSX/b.csv",
    )
    files = listed(str(tmp_path), [tmp_path])
    assert [file.name for file in files] == ["a/2020/c.csv", "b.csv"]
    assert [file.where for file in files] == [str(tmp_path / file.name) for file in files]
    facts = (tmp_path / "b.csv").stat()
    assert (files[1].bytes, files[1].tag) == (facts.st_size, f"modified:{facts.st_mtime_ns}")
    (one,) = listed("b.csv", [tmp_path / "nowhere", tmp_path])
    assert one == files[1]


def test_the_values_of_partitions_are_those_of_the_folders_that_hive_writes():
    name = "y=2020/00/City%3D=Z%C3%BCrich%2FA/e=/n=__HIVE_DEFAULT_PARTITION__/a=1.csv"
    assert partition(name) == {"y": "2020", "City=": "Zürich/A", "e": "", "n": None}


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "no part file in it"),
        (("_SUCCESS", ".a.csv"), "no part file in it"),
        (("y=1/a.csv", "y=2/m=1/a.csv"), r"'y=1/a.csv' has the partition columns \['y'\], and .* \['y', 'm'\]"),
        (("y=1/a.csv", "a.csv"), r"the partition columns \[\], and"),
        (("_y=1/a.csv",), "a partition column begins with _"),
        (("_delta_log/0.json", "a.parquet"), "holds _delta_log"),
    ],
)
def test_a_folder_that_is_no_table_is_refused(tmp_path, names, message):
    put(tmp_path, *names)
    with pytest.raises(BadData, match=message):
        listed(str(tmp_path), [tmp_path])


@pytest.mark.bad_input
@pytest.mark.parametrize(("where", "message"), [("none", "nothing is at .*/none"), ("../a", "leads out of its folder")])
def test_a_path_without_a_file_is_refused(tmp_path, where, message):
    with pytest.raises(BadData, match=message):
        listed(where, [tmp_path])


@given(st.lists(st.integers(0, 1 << 31), min_size=1, max_size=9), st.integers(1, 64), st.booleans())
def test_every_piece_of_every_file_is_read_once_whatever_the_number_of_cores(sizes, cores, cut):
    files = [StoredFile(str(at), "", size, "") for at, size in enumerate(sizes)]
    tasks = spread(files, cores, cut=cut)
    assert all(tasks)
    pieces = [(int(piece.file.name), piece.at, piece.of) for task in tasks for piece in task]
    wanted = {name: of for name, _, of in pieces}
    assert pieces == [(at, piece, of) for at, of in wanted.items() for piece in range(of)]
    assert cut or set(wanted.values()) == {1}


def test_small_files_share_their_tasks():
    files = [StoredFile(str(at), "", 100, "") for at in range(10 * MOST_FILES)]
    assert [len(task) for task in spread(files, 4)] == [MOST_FILES] * 10


@given(st.text(st.sampled_from(["a", "ü", "\u2028", "\x0b", "\r", "\n"]), max_size=40), st.integers(1, 9))
def test_lines_end_as_for_spark_wherever_a_block_ends(text, size):
    class Slow(io.BytesIO):
        def read(self, many=-1):
            return super().read(size)

    # Python's universal newlines are Spark's, too
    wanted = [line.removesuffix("\n").encode() for line in io.StringIO(text, newline=None)]
    assert list(_lines(Slow(text.encode()), StoredFile("a.csv", "", 0, ""))) == wanted
    packed = io.BytesIO(gzip.compress(text.encode()))
    assert list(_lines(packed, StoredFile("a.csv.gz", "", 0, ""))) == wanted

"""CSV files whose values span several lines, as pandas writes them and Python's csv module reads them."""

import csv
import gzip
import io
import tarfile

import pandas as pd
import pytest

from millstream.pipelines.readers.csv_json import OPEN_QUOTE
from millstream.pipelines.sources.table import Table
from millstream.tracking.errors import BadData
from tests.pipelines.made import rows_of

pytestmark = pytest.mark.spark

COLUMNS = {"who": {"type": "string"}, "text": {"type": "string", "nullable": True}, "pay": {"type": "double"}}
TEXTS = ["plain", "two\nlines", 'a "quoted"\nword, and\n\nmore', "", '"\n"', "ends\n.", "größe", '",",\n""']
FRAME = pd.DataFrame(
    {"who": [f"w{at:02d}" for at in range(80)], "text": TEXTS * 10, "pay": [at / 4 for at in range(80)]}
)


def read(spark, path, content, **fields):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    source = Table(files=[{"name": path.name}], **{"columns": COLUMNS, **fields})
    return source.read(spark, {path.name: path}, 0)


def oracle(text, **options):
    """The line at which each row begins, and its values."""
    rows, before, found = csv.reader(io.StringIO(text, newline=""), **options), 0, []
    for row in rows:
        found.append((before + 1, row))
        before = rows.line_num
    return found


@pytest.fixture(params=["one task", "many tasks"])
def tasks(request, spark):
    """Whether files are split, after so few bytes that most tasks begin inside a row."""
    if request.param == "many tasks":
        spark.conf.set("spark.sql.files.maxPartitionBytes", "150")
    yield request.param
    spark.conf.unset("spark.sql.files.maxPartitionBytes")


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["unix", "windows"])
def test_rows_are_those_that_were_written_and_named_by_their_first_line(spark, tmp_path, tasks, ends):
    text = FRAME.to_csv(index=False).replace("\n", ends)
    found = rows_of(read(spark, tmp_path / "rows.csv", text), "sample_id", "who", "text", "pay")
    assert (spark.read.text(str(tmp_path / "rows.csv")).rdd.getNumPartitions() > 10) == (tasks == "many tasks")
    expected = [
        (f"rows.csv:{line}", who, text.replace("\r\n", "\n") or None, float(pay))
        for line, (who, text, pay) in oracle(text)[1:]
    ]
    assert found == sorted(expected)


def test_packed_files_in_other_letters_and_with_other_signs_are_read_so_too(spark, tmp_path):
    text = FRAME.to_csv(index=False, sep=";", decimal=",", na_rep="?").replace(";;", ";?;")
    fields = {"delimiter": ";", "decimal": ",", "encoding": "latin-1", "null": "?", "key": "who"}
    table = read(spark, tmp_path / "rows.csv.gz", gzip.compress(text.encode("latin-1")), **fields)
    assert rows_of(table, "who", "text", "pay") == [
        (who, text or None, pay) for who, text, pay in FRAME.itertuples(index=False)
    ]


@pytest.mark.bad_input
def test_a_quote_that_is_never_closed_quarantines_its_line_and_reading_continues(spark, tmp_path, tasks):
    good = FRAME.to_csv(index=False)
    begin = good.index("w40,")
    text = (
        good[:begin]
        + 'x1,"open,1\nx2,5" wide,2\n'
        + good[begin:]
        + "\n".join(f"z{at},z,1" for at in range(9))
        + '\ny,"open'
    )
    table = read(spark, tmp_path / "rows.csv", text)
    refused = {row.content: (row.sample_id, row.reason) for row in table.refused.collect()}
    lines = text.split("\n")
    assert refused == {
        line: (f"rows.csv:{lines.index(line) + 1}", OPEN_QUOTE) for line in ('x1,"open,1', 'x2,5" wide,2', 'y,"open')
    }
    assert sorted(row[0] for row in rows_of(table, "who")) == [*FRAME.who, *(f"z{at}" for at in range(9))]


@pytest.mark.bad_input
def test_a_row_over_several_lines_that_does_not_fit_is_quarantined_whole(spark, tmp_path, tasks):
    text = FRAME.to_csv(index=False).replace('w41,"two\nlines",10.25', 'w41,"two\nlines",much')
    table = read(spark, tmp_path / "rows.csv", text)
    line = next(line for line, row in oracle(text) if row[0] == "w41")
    expected = [(f"rows.csv:{line}", "pay is no number", 'w41,"two\nlines",much')]
    assert [tuple(row) for row in table.refused.collect()] == expected
    assert table.frame.count() == len(FRAME) - 1


def test_names_and_types_are_found_in_such_a_file(spark, tmp_path, tasks):
    text = FRAME.rename(columns={"text": "a\ntext"}).to_csv(index=False)
    table = read(spark, tmp_path / "rows.csv", text, columns="inferred")
    assert {one.name: one.dtype for one in table.columns} == {
        "who": "string",
        "a\ntext": "string",
        "pay": "float64",
    }
    found = {row["who"]: (row["a\ntext"], row["pay"]) for row in table.frame.collect()}
    assert found == {who: (text or None, pay) for who, text, pay in FRAME.itertuples(index=False)}


def test_published_lists_of_row_numbers_are_refused_for_such_a_file(spark, tmp_path):
    with tarfile.open(tmp_path / "folds.tar", "w") as tar:
        for name in ("train", "test"):
            info = tarfile.TarInfo(name)
            info.size = 2
            tar.addfile(info, io.BytesIO(b"0\n"))
    path = tmp_path / "rows.csv"
    path.write_text('a,1\n"b\nc",2\n')
    folds = {"file": {"name": "folds.tar"}, "train": "train", "test": "test", "fold": 0}
    columns = {"who": {"type": "string"}, "pay": {"type": "double"}}
    source = Table(files=[{"name": "rows.csv"}], columns=columns, header=False, folds=folds)
    with pytest.raises(BadData, match=r"rows\.csv:2: a row spans several lines, and lists of row numbers count lines"):
        source.read(spark, {"rows.csv": path, "folds.tar": tmp_path / "folds.tar"}, 0)

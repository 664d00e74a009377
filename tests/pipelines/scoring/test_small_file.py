"""A small file that is read without Spark has the types and values that Spark reads, and none that it refuses."""

from __future__ import annotations

import datetime
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as examples

from millstream.pipelines.scoring import input_table, small_file
from millstream.pipelines.scoring.layout import Files, Reading
from millstream.pipelines.sources.table import Table
from millstream.tracking.errors import BadData
from tests.pipelines.described import described
from tests.pipelines.scoring.test_input_table import COLUMNS, INPUTS, typed_tables

pytestmark = [pytest.mark.spark, pytest.mark.timeout(5000)]
HEAD = "k,x,n,word,y\n"
TIMES = {"at": {"type": "timestamp"}, "day": {"type": "timestamp", "form": "dd.MM.yyyy HH:mm"}}


def source_of(path, **fields):
    return Table(files=[{"name": path.name}], **{"columns": COLUMNS, "key": "k", **fields})


def on_spark(spark, path, reading):
    """The table and the inputs of the model, or the message of the refusal."""
    try:
        table = input_table.read(spark, Files.of(str(path), path), reading)
        places = [*(f"c{at}" for at in range(len(table.names))), *table.inputs.values()]
        written = path.with_name("spark")
        shutil.rmtree(written, ignore_errors=True)
        table.frame.write.parquet(f"file:{written}")
        found = pq.read_table(written)
        columns = [found[place] for place in places]
        count = len(table.names)
        given = dict(zip(table.inputs, columns[count:], strict=True))
        given |= {name: form.applied(given[name].combine_chunks()) for name, form in table.forms.items()}
        return pa.table(columns[:count], table.names), pa.table(given)
    except BadData as error:
        return str(error)


def small(path, reading):
    try:
        found = small_file.read(Files.of(str(path), path), reading)
        return None if found is None else (found.columns, found.inputs)
    except BadData as error:
        return str(error)


def compared(spark, path, source, inputs=INPUTS, **options):
    """Whether the file was read without Spark."""
    reading = Reading.of(described(source, inputs, **options))
    found = small(path, reading)
    if found is None:
        return False
    expected = on_spark(spark, path, reading)
    if isinstance(found, str) or isinstance(expected, str):
        assert found == expected
        return False
    for one, other in zip(found, expected, strict=True):
        assert one.schema.remove_metadata() == other.schema.remove_metadata()
        assert str(one.to_pylist()) == str(other.to_pylist())  # as texts, since NaN is no NaN
    return True


READ = {
    "blanks and signs": HEAD + "a, 1.5 , 7, St. ,yes\r\nb,-.5,-0, ..a b. ,no\nc,5.,+3,x,no\n\n  \nd,1e-5,007,1,yes\n",
    "nulls": HEAD + 'a,,,,\nb,"","","",""\nc, , , ,\n',
    "quotes": HEAD + 'a,"1.5", "7" ,"say ""hi"", he",yes\nb,2,2,"over\n\ntwo lines",no\n"c ","3",3," St. ",no\n',
    "other letters": "\ufeff" + HEAD + "a,1,1,e\u0301,yes\nb,2,2,\u00e9,no\nc,3,3,a\\b,'q'\nd,4,4,#,\U0001f600\n",
    "other columns": "x,n,word,y,k,zip,id,note,a;b (c)\n1,2,a,yes,k0,010,12345678901234567,7,\n2,3,b,,k1,4109,1,-8,x\n",
    "digits": HEAD + "a,0.1234567890123456789,9223372036854775807,1,1\nb,9007199254740993,-9223372036854775808,1,1\n",
}
LEFT_TO_SPARK = {
    "no number": HEAD + "a,12d,1,a,yes\n",
    "a number of other digits": HEAD + "a,\u0661,1,a,yes\n",
    "an infinite number": HEAD + "a,1e999,1,a,yes\n",
    "an infinite text": HEAD + "a,inf,1,a,yes\n",
    "no whole number": HEAD + "a,1,1.5,a,yes\n",
    "a number beyond 64 bits": HEAD + "a,1,9223372036854775808,a,yes\n",
    "a value too many": HEAD + "a,1,1,a,yes,more\n",
    "a value too few": HEAD + "a,1,1,a\n",
    "an open quote": HEAD + 'a,1,1,"a,yes\n',
    "a quote inside": HEAD + 'a,1,1,a"b"c,yes\n',
    "a control character": HEAD + "a,1,1,a\x1fb,yes\n",
    "a no-break blank": HEAD + "a,1,1,a\u00a0,yes\n",
    "a lone carriage return": HEAD + "a,1,1,a\rb,yes\n",
    "a NUL": HEAD + "a,1,1,a\x00,yes\n",
    "no row": HEAD,
    "two columns of one name to Spark": "K," + HEAD + "1,a,1,1,a,yes\n",
}


def test_csv_is_read_as_on_spark(spark, tmp_path):
    path = tmp_path / "in.csv"
    for name, text in READ.items():
        path.write_text(text, encoding="utf-8")
        assert compared(spark, path, source_of(path)), name
    path.write_text("a; 1,5;?;\u00e9;-\n\u00fc;?;2;?;?\n", encoding="latin-1")
    layout = {"delimiter": ";", "decimal": ",", "null": "?", "encoding": "latin-1", "header": False}
    assert compared(spark, path, source_of(path, **layout))
    path.write_text(HEAD + 'a,NA,?,NA,?\nb,"?",1,"NA",x\n')
    assert compared(spark, path, source_of(path, null=["NA", "?"]))


def test_times_are_read_as_on_spark(spark, tmp_path):
    path = tmp_path / "in.csv"
    head, source = HEAD[:-1] + ",at,day\n", source_of(path, columns={**COLUMNS, **TIMES})
    path.write_text(head + "a,1,1,a,y,2024-02-29,01.02.1850 07:30\nb,1,1,a,y,0001-01-01T10:20:30.000001,\n")
    assert compared(spark, path, source)
    for at in ("2023-02-29", "2024-01-01 24:00:00", "2024-01-01 10:00:00Z", "07:30", "2024", "2024-1-1"):
        path.write_text(head + f"a,1,1,a,y,{at},01.02.1850 07:30\n")
        assert small(path, Reading.of(described(source, INPUTS))) is None
    several = {**TIMES, "day": {"type": "timestamp", "form": ["dd.MM.yyyy HH:mm", ""]}}
    path.write_text(head + "a,1,1,a,y,2024-02-29,01.02.1850 07:30\n")
    assert small(path, Reading.of(described(source_of(path, columns={**COLUMNS, **several}), INPUTS))) is None


def test_what_may_be_read_in_another_way_is_left_to_spark(tmp_path):
    path = tmp_path / "in.csv"
    source = source_of(path)
    for name, text in LEFT_TO_SPARK.items():
        path.write_bytes(text.encode())
        assert small(path, Reading.of(described(source, INPUTS))) is None, name
    strict = source_of(path, columns={**COLUMNS, "n": {"type": "long"}, "word": {"type": "string", "classes": ["a"]}})
    written = source_of(path, columns={**COLUMNS, "x": {"type": "double", "number": {"thousands": ","}}})
    path.write_text(HEAD + "a,1,1,a,1\n")
    assert small(path, Reading.of(described(written, INPUTS))) is None
    for text in ("a,1,,a,yes\n", "a,1,1,b,yes\n", "a,1,1,,yes\n"):
        path.write_text(HEAD + text)
        assert small(path, Reading.of(described(strict, INPUTS))) is None
    path.write_bytes(HEAD.encode() + "a,1,1,\u00e9,yes\n".encode("latin-1"))
    assert small(path, Reading.of(described(source, INPUTS))) is None
    path.write_text("k,n,word\na,1,a\n")
    assert small(path, Reading.of(described(source, INPUTS))) == (
        f"{path}: no columns ['x']; the model takes ['x', 'n', 'word'], found ['k', 'n', 'word']"
    )
    path.write_text(HEAD + "a,1,1,a,yes\n" * 10_001)
    assert small(path, Reading.of(described(source, INPUTS))) is None


FAR = datetime.datetime(9999, 12, 31, 23, 59, 59)
WIDE = pa.table(
    {
        "k": ["a", "b"],
        "x": pa.array([1, None], pa.int8()),
        "n": pa.array([1.0, None]),
        "word": pa.array([" St. ", None]).dictionary_encode(),
        "y": pa.array(["yes", None], pa.large_string()),
        "odd. `name": pa.array([float("nan"), None], pa.float32()),
        "till": pa.array([FAR, datetime.datetime(1, 1, 1)], pa.timestamp("us")),
        "at": pa.array([1_000, -5_000], pa.timestamp("ns", "Europe/Vienna")),
        "day": pa.array([datetime.date(1, 1, 1), None]),
        "hash": pa.array([b"\xff\x00", None]),
        "on": pa.array([True, None]),
    }
)


def test_parquet_is_read_as_on_spark(spark, tmp_path, soak):
    path = tmp_path / "in.parquet"
    source = source_of(path, format="parquet")
    pq.write_table(WIDE, path)
    assert compared(spark, path, source)

    @examples(max_examples=300 if soak else 4, deadline=None)
    @given(table=typed_tables())
    def holds(table):
        pq.write_table(table, path)
        compared(spark, path, source)

    holds()
    odd = {
        "x": pa.array([float("nan"), 1.0]),
        "n": pa.array([1.5, 1.0]),
        "word": pa.array([b"a", b"\xff"]),
        "at": pa.array([1, 2], pa.timestamp("ns")),
        "K": pa.array(["a", "b"]),
    }
    for name, values in odd.items():
        others = {one: WIDE[one] for one in WIDE.column_names if one != name}
        pq.write_table(pa.table({**others, name: values}), path)
        assert small(path, Reading.of(described(source, INPUTS))) is None, name
    pq.write_table(WIDE.select(["k", "x", "n", "word", "till"]), path, use_deprecated_int96_timestamps=True)
    assert small(path, Reading.of(described(source, INPUTS))) is None

"""Tables in every format that is read: the same rows from each."""

import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc
from pydantic import ValidationError

from millstream.pipelines.readers import parquet_orc_jdbc
from millstream.pipelines.readers.csv_json import MORE
from millstream.pipelines.readers.table_schema import MISFIT
from millstream.pipelines.sources.table import Table
from millstream.pipelines.steps.split import Split
from millstream.tracking.errors import BadData, BadEnvironment
from tests.pipelines.made import rows_of

pytestmark = pytest.mark.spark
COLUMNS = {
    "who": {"type": "string", "role": "key"},
    "age": {"type": "long"},
    "pay": {"type": "double", "nullable": True},
    "at": {"type": "timestamp"},
}
NAMES = ("sample_id", "age", "pay", "at")
NOON, LATER = datetime.datetime(2020, 1, 31, 12), datetime.datetime(2020, 2, 1, 0, 0, 1)
ROWS = [("a", 31, 2.5, NOON), ("b", 7, None, LATER)]


def read(spark, path, **fields):
    source = Table(files=[{"name": path.name}], **{"columns": COLUMNS, "key": "who", **fields})
    return source.read(spark, {path.name: path}, 0)


def as_utc(rows):
    return [(*row[:3], row[3].astimezone(datetime.UTC).replace(tzinfo=None)) for row in rows]


def test_csv_and_json_lines_give_the_same_rows(spark, tmp_path):
    (tmp_path / "a.csv").write_text("who,age,pay,at\na,31,2.5,2020-01-31 12:00:00\nb,7,,2020-02-01T00:00:01\n")
    (tmp_path / "a.jsonl").write_text(
        '{"age": 31, "who": "a", "pay": 2.5, "at": "2020-01-31 12:00:00", "more": [1]}\n\n'
        '{"who": "b", "age": 7, "pay": null, "at": "2020-02-01T00:00:01"}\n'
    )
    for table in (read(spark, tmp_path / "a.csv"), read(spark, tmp_path / "a.jsonl", format="jsonl")):
        found = table.frame.selectExpr("sample_id", "age", "pay", "unix_seconds(at) at").orderBy("sample_id").collect()
        utc = datetime.UTC
        assert [tuple(row) for row in found] == [(*row[:3], row[3].replace(tzinfo=utc).timestamp()) for row in ROWS]
        assert [(column.dtype, column.role) for column in table.columns][-1] == ("datetime64[us]", "key")


def test_orc_is_read_by_its_key(spark, tmp_path):
    table = pa.table({"who": ["a", "b"], "age": pa.array([31, 7], pa.int16()), "pay": [2.5, None], "at": [NOON, LATER]})
    orc.write_table(table, tmp_path / "a.orc")
    found = read(spark, tmp_path / "a.orc", format="orc")
    assert rows_of(found, *NAMES[:3]) == [row[:3] for row in ROWS]


def test_a_table_of_a_database_is_read(spark):
    url = "jdbc:derby:memory:people;create=true"
    frame = spark.createDataFrame([(who, age, pay) for who, age, pay, _ in ROWS], "who string, age long, pay double")
    frame.write.format("jdbc").option("url", url).option("dbtable", "people").save()
    columns = {name: COLUMNS[name] for name in ("who", "age", "pay")}
    database = {"url": url, "table": "people", "snapshot": "today"}
    found = Table(database=database, columns=columns, key="who").read(spark, {}, 0)
    assert rows_of(found, "sample_id", "age", "pay") == [row[:3] for row in ROWS]


def test_ranges_of_a_column_are_read_in_parallel_and_no_row_is_lost(spark):
    url = "jdbc:derby:memory:ranges;create=true"
    rows = [(f"k{at}", at * at - 50, None if at == 7 else at / 3) for at in range(40)]
    spark.createDataFrame(rows, "who string, `An Age` long, pay double").write.jdbc(url, "people")
    columns = {"who": COLUMNS["who"], "An Age": {"type": "long"}, "pay": COLUMNS["pay"]}
    for column in ("An Age", "pay"):  # with a value that is missing, and fractions
        ranges = parquet_orc_jdbc.Ranges(column=column, count=4)
        assert parquet_orc_jdbc.jdbc(spark, url, "people", {}, ranges).rdd.getNumPartitions() == 4
        database = {"url": url, "table": "people", "snapshot": "today", "ranges": {"column": column, "count": 4}}
        source = Table(database=database, columns=columns, key="who")
        assert rows_of(source.read(spark, {}, 0), "sample_id", "An Age", "pay") == sorted(rows)
        assert "ranges" not in source.model_dump()["database"]
    for column, message in (("age", "no such column"), ("who", "is string, which has no ranges")):
        with pytest.raises(BadData, match=message):
            parquet_orc_jdbc.jdbc(spark, url, "people", {}, parquet_orc_jdbc.Ranges(column=column))


@pytest.mark.security
@pytest.mark.bad_input
def test_a_database_that_cannot_be_read_is_reported_without_the_password(spark):
    secret = {"MILLSTREAM_JDBC_USER": "me", "MILLSTREAM_JDBC_PASSWORD": "open sesame"}
    with pytest.raises(BadEnvironment) as refused:
        parquet_orc_jdbc.jdbc(spark, "jdbc:nosuch://host/db?password=open sesame", "people", secret)
    assert "sesame" not in str(refused.value)
    assert "jdbc:nosuch://host/db" in str(refused.value)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_columns_are_inferred_from_all_rows_and_stand_in_the_table(spark, tmp_path, name):
    lines = {
        "a.csv": "who,age,pay\na,31,2\nb,7,2.5\nc,8,\n",
        "a.jsonl": '{"who":"a","age":31,"pay":2}\n{"who":"b","age":7,"pay":2.5}\n{"who":"c","age":8}\n',
    }
    (tmp_path / name).write_text(lines[name])
    kind = name.partition(".")[2]
    table = read(spark, tmp_path / name, columns="inferred", target="age", format=kind)
    declared = {column.name: (column.dtype, column.role) for column in table.columns}
    assert declared == {"who": ("string", "key"), "age": ("int64", "target"), "pay": ("float64", "input")}
    assert rows_of(table, "sample_id", "age", "pay") == [("a", 31, 2.0), ("b", 7, 2.5), ("c", 8, None)]
    with pytest.raises(BadData, match="wage"):
        read(spark, tmp_path / name, columns="inferred", target="wage", format=kind)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"who": "b", "age": "old", "at": "2020-01-01"}', MISFIT),
        ('{"who": "b", "age": 7, "at": ', MISFIT),
        ('{"who": "b", "age": 7, "at": "01.02.2020"}', "at is no time of the form ISO"),
        ('{"who": "b", "at": "2020-01-01"}', "age is missing"),
    ],
)
def test_a_line_that_does_not_fit_is_quarantined(spark, tmp_path, line, reason):
    (tmp_path / "a.jsonl").write_text('{"who": "a", "age": 31, "at": "2020-01-31"}\n' + line + "\n")
    table = read(spark, tmp_path / "a.jsonl", format="jsonl")
    assert rows_of(table, "sample_id") == [("a",)]
    assert [tuple(row) for row in table.refused.collect()] == [("a.jsonl:2", reason, line)]


@pytest.mark.security
def test_names_of_json_members_may_hold_anything(spark, tmp_path):
    odd = "a.b'`🙂"
    (tmp_path / "a.jsonl").write_text(f'{{"who": "a", "{odd}": 31}}\n')
    found = read(spark, tmp_path / "a.jsonl", format="jsonl", columns={"who": COLUMNS["who"], odd: {"type": "long"}})
    assert [row[odd] for row in found.frame.collect()] == [31]


@pytest.mark.bad_input
def test_a_value_of_a_typed_file_that_does_not_fit_puts_its_row_aside(spark, tmp_path):
    table = pa.table({"who": ["a", "b"], "age": ["31", "old"], "pay": [2.5, 1.0], "at": [NOON, NOON]})
    orc.write_table(table, tmp_path / "a.orc")
    found = read(spark, tmp_path / "a.orc", format="orc")
    assert rows_of(found, "sample_id", "age") == [("a", 31)]
    assert [(row.sample_id, row.reason) for row in found.refused.collect()] == [("b", "age is no whole number")]
    (tmp_path / "no.orc").write_text("no")
    with pytest.raises(BadData, match="ORC"):
        read(spark, tmp_path / "no.orc", format="orc")


def test_times_may_be_written_in_a_declared_form(spark, tmp_path):
    (tmp_path / "a.csv").write_text("who,at\na,31.01.2020 12:00\nb,2020-01-31\n")
    columns = {"who": COLUMNS["who"], "at": {"type": "timestamp", "form": "dd.MM.yyyy HH:mm"}}
    table = read(spark, tmp_path / "a.csv", columns=columns)
    assert [row[0] for row in table.frame.selectExpr("date_format(at, 'yyyy-MM-dd HH')").collect()] == ["2020-01-31 12"]
    assert [row.reason for row in table.refused.collect()] == ["at is no time of the form dd.MM.yyyy HH:mm"]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"files": [{"name": "a"}], "database": {"url": "jdbc:x", "table": "t", "snapshot": "s"}},
        {"database": {"url": "http://x", "table": "t", "snapshot": "s"}, "key": "who"},
        {"database": {"url": "jdbc:x", "table": "(SELECT 1)", "snapshot": "s"}, "key": "who"},
        {"files": [{"name": "a"}], "format": "orc"},
        {"files": [{"name": "a"}], "columns": "inferred", "header": False},
    ],
)
def test_a_source_that_is_none_is_refused(fields):
    with pytest.raises(ValidationError):
        Table(**{"columns": COLUMNS, **fields})


CLOCKS = (
    "clock,day,ok,long_id\n07:30:00,2020-01-31,true,18446744073709551617\n19:05,2020-02-01,False,18446744073709551618\n"
)


def test_times_of_day_truths_and_long_numbers_are_inferred_as_texts(spark, tmp_path):
    (tmp_path / "a.csv").write_text(CLOCKS)
    table = read(spark, tmp_path / "a.csv", columns="inferred", key="long_id")
    assert [column.dtype for column in table.columns] == ["string", "datetime64[us]", "string", "string"]
    ids = ["18446744073709551617", "18446744073709551618"]
    assert rows_of(table, "sample_id", "clock", "ok") == [(ids[0], "07:30:00", "true"), (ids[1], "19:05", "False")]
    (tmp_path / "a.jsonl").write_text('{"k": "a", "ok": true}\n{"k": "b", "ok": false}\n')
    table = read(spark, tmp_path / "a.jsonl", columns="inferred", key="k", format="jsonl")
    assert rows_of(table, "sample_id", "ok") == [("a", "true"), ("b", "false")]


@pytest.mark.bad_input
def test_a_time_of_day_is_no_time(spark, tmp_path):
    (tmp_path / "a.csv").write_text("who,age,pay,at\na,31,2.5,2020-01-31\nb,7,1,07:30:00\nc,7,1,T12:00\n")
    table = read(spark, tmp_path / "a.csv")
    assert rows_of(table, "sample_id") == [("a",)]
    assert {row.reason for row in table.refused.collect()} == {"at is no time of the form ISO"}


@pytest.mark.bad_input
def test_a_fraction_is_no_whole_number(spark, tmp_path):
    pq.write_table(pa.table({"who": ["a", "b", "c"], "age": [31.0, 0.7, None]}), tmp_path / "a.parquet")
    columns = {"who": {"type": "string"}, "age": {"type": "long", "nullable": True}}
    table = read(spark, tmp_path / "a.parquet", columns=columns, format="parquet")
    assert rows_of(table, "sample_id", "age") == [("a", 31), ("c", None)]
    assert [(row.sample_id, row.reason) for row in table.refused.collect()] == [("b", "age is no whole number")]


@pytest.mark.bad_input
def test_nanoseconds_are_reported_where_columns_are_inferred(spark, tmp_path):
    pq.write_table(pa.table({"who": ["a"], "at": pa.array([1], pa.timestamp("ns"))}), tmp_path / "a.parquet")
    with pytest.raises(BadData, match="times in nanoseconds"):
        read(spark, tmp_path / "a.parquet", columns="inferred", format="parquet")


def test_a_csv_file_may_have_decimal_commas_and_latin_letters(spark, tmp_path):
    (tmp_path / "a.csv").write_bytes("wer;höhe\nJürg;1,5\nAnna;1.234,5\nZoë;-2\n".encode("latin-1"))
    columns = {"wer": {"type": "string"}, "höhe": {"type": "double"}}
    options = {"key": "wer", "delimiter": ";", "decimal": ",", "encoding": "latin-1"}
    table = read(spark, tmp_path / "a.csv", columns=columns, **options)
    assert rows_of(table, "sample_id", "höhe") == [("Jürg", 1.5), ("Zoë", -2.0)]
    assert [(row.sample_id, row.content) for row in table.refused.collect()] == [("a.csv:3", "Anna;1.234,5")]
    table = read(spark, tmp_path / "a.csv", columns="inferred", **(options | {"decimal": "."}))
    assert rows_of(table, "wer", "höhe") == [("Anna", "1.234,5"), ("Jürg", "1,5"), ("Zoë", "-2")]
    with pytest.raises(ValidationError, match="declare the columns"):
        read(spark, tmp_path / "a.csv", columns="inferred", **options)


def test_a_column_called_split_has_the_split_of_its_row(spark, tmp_path):
    (tmp_path / "a.csv").write_text("who,split\na,train\nb,test\n")
    columns = {"who": {"type": "string"}, "split": {"type": "string"}}
    table = read(spark, tmp_path / "a.csv", columns=columns)
    assert rows_of(table, "sample_id", "split") == [("a", "train"), ("b", "test")]
    assert [column.name for column in table.columns] == ["who"]
    for given in (Split(by="given"), Split(by="given", column="split")):
        assert rows_of(given.apply(table, {}, 0), "sample_id", "split") == [("a", "train"), ("b", "test")]


@pytest.mark.bad_input
@pytest.mark.parametrize("names", [("Age", "age"), ("sample_id",), ("Parent_ID",), ("OP",), ("Split",), ("_number",)])
def test_names_that_spark_or_the_lineage_takes_for_others_are_refused(spark, tmp_path, names):
    with pytest.raises(ValidationError, match="give them other names in the file"):
        Table(files=[{"name": "a.csv"}], columns={name: {"type": "string"} for name in names})
    pq.write_table(pa.table({"key": ["a"], **{name: ["b"] for name in names}}), tmp_path / "a.parquet")
    # of columns that differ in case alone Spark itself reports it
    with pytest.raises(BadData, match=r"give them other names in the file|column `age` already exists"):
        read(spark, tmp_path / "a.parquet", columns="inferred", key="key", format="parquet")


@pytest.mark.bad_input
def test_a_time_is_no_target():
    with pytest.raises(ValidationError, match="a time is a key, no target"):
        Table(files=[{"name": "a.csv"}], columns={"at": {"type": "timestamp", "role": "target"}})


@pytest.mark.bad_input
def test_a_line_of_json_is_one_object_with_each_member_once(spark, tmp_path):
    good = '{"k": "a", "more": {"k": [1, "}"]}}'
    odd = ['{"k": "b"} {"k": "c"}', '{"k": "d"}, {"k": "e"}', '{"k": "f"} and so on', '{"k": "g", "k": "h"}']
    (tmp_path / "a.jsonl").write_text("\n".join([good, *odd]))
    table = read(spark, tmp_path / "a.jsonl", columns={"k": {"type": "string"}}, key="k", format="jsonl")
    assert rows_of(table, "sample_id") == [("a",)]
    reasons = [row.reason for row in table.refused.orderBy("sample_id").collect()]
    assert reasons == [*[MORE] * 3, "a member comes twice"]


def test_rows_of_files_that_share_a_name_keep_ids_of_their_own(spark, tmp_path):
    files = {}
    for split in ("train", "test"):
        files[f"{split}/data.csv"] = tmp_path / split
        files[f"{split}/data.csv"].write_text(f"who\n{split}\n")
    source = Table(files=[{"name": name} for name in files], columns={"who": {"type": "string"}})
    found = rows_of(source.read(spark, files, 0), "sample_id", "who")
    assert found == [("test/data.csv:2", "test"), ("train/data.csv:2", "train")]

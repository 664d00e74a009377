"""Tables read by the workers where they lie: the same rows, with the same identities, wherever that is."""

import gzip
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from millstream.pipelines.publish.stores import reach
from millstream.pipelines.sources.table import Table
from millstream.pipelines.spark import failed_jobs
from millstream.tracking.dataset.filesystems import place
from millstream.tracking.errors import BadData
from tests.pipelines.made import rows_of

pytestmark = pytest.mark.spark

COLUMNS = {
    "who": {"type": "string"},
    "pay": {"type": "double", "nullable": True},
    "year": {"type": "long", "nullable": True},
    "city": {"type": "string", "nullable": True},
}
PARTS = {
    "year=2019/city=Zürich%2FA/part-0": [("a", 1.5), ("b", None)],
    "year=2020/city=__HIVE_DEFAULT_PARTITION__/part-0": [("c", 2.5)],
    "year=2020/city=__HIVE_DEFAULT_PARTITION__/part-1": [("d", 3.5), ("e", 4.5)],
}
ROWS = [
    (f"{name}{{}}:{at}", who, pay, int(name[5:9]), "Zürich/A" if "Z" in name else None)
    for name, rows in PARTS.items()
    for at, (who, pay) in enumerate(rows, 1)
]
FORMS = ["csv", "jsonl", "parquet", "orc"]
SLOW = pytest.mark.slow  # of what is alike, one is tried in `make test`


def write(folder, form):
    """The parts as another program writes them, with what Hadoop ignores beside them."""
    for name, rows in PARTS.items():
        path = folder / f"{name}.{form}"
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table({"who": [who for who, _ in rows], "pay": pa.array([pay for _, pay in rows], pa.float64())})
        if form == "csv":
            path.write_text("who,pay\n" + "".join(f"{who},{'' if pay is None else pay}\n" for who, pay in rows))
        elif form == "jsonl":
            path.write_text("".join(json.dumps({"who": who, "pay": pay}) + "\n" for who, pay in rows))
        elif form == "orc":
            orc.write_table(table, path)
        else:
            pq.write_table(table, path, row_group_size=1)
    for name in ("_SUCCESS", "year=2019/.part-0.crc", "_temporary/0/part-9"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("no row")


def read(spark, path, **fields):
    table = Table(path=str(path), **{"columns": COLUMNS, **fields})
    return table.read_stored(spark, table.stored_files({}, [Path.cwd()]), {}, 0)


def expected(form):
    # a line of a header is one of the file
    lead = 1 if form == "csv" else 0
    rows = [(name.format(f".{form}"), *row) for name, *row in ROWS]
    return [(f"{name.rpartition(':')[0]}:{int(name.rpartition(':')[2]) + lead}", *row) for name, *row in rows]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("my tables")
    for form in FORMS:
        write(root / form, form)
    return root


@pytest.mark.parametrize("form", [pytest.param(form, marks=() if form == "parquet" else SLOW) for form in FORMS])
def test_a_partitioned_folder_is_read_with_the_columns_that_its_folders_name(spark, folders, form):
    found = read(spark, folders / form, format=form)
    assert rows_of(found, "sample_id", *COLUMNS) == expected(form)


@SLOW
@pytest.mark.parametrize("form", FORMS)
def test_inferred_partition_columns_are_texts(spark, folders, form):
    inferred = read(spark, folders / form, format=form, columns="inferred", target="pay")
    assert {column.name: column.dtype for column in inferred.columns} == {
        "who": "string",
        "pay": "float64",
        "year": "string",
        "city": "string",
    }
    assert rows_of(inferred, "sample_id", "pay", "city") == [(row[0], row[2], row[4]) for row in expected(form)]


@pytest.fixture(scope="module")
def bucket(spark, s3):
    """The server, which the workers of the running session know, too."""
    spark.sparkContext.environment.update(s3.environment)
    return s3


@pytest.fixture
def copied(kind, request, spark, folders):
    """The URL of a copy of a folder."""

    def copy(form):
        if kind == "hadoop":
            configuration = spark.sparkContext._jsc.hadoopConfiguration()
            configuration.set("fs.viewfs.mounttable.stored.link./data", folders.as_uri())
            reach(place("viewfs://stored/data"), lambda: spark)
            return f"viewfs://stored/data/{form}"
        for path in (folders / form).rglob("*"):
            if path.is_file():
                name = f"{form} files/{path.relative_to(folders / form)}"
                request.getfixturevalue("bucket").put(name, path.read_bytes())
        return f"s3a://bucket/{form} files/"

    return copy


@SLOW
@pytest.mark.parametrize("kind", ["s3", "hadoop"])
@pytest.mark.parametrize("form", FORMS)
def test_the_same_files_behind_a_url_are_the_same_table(spark, copied, form):
    assert rows_of(read(spark, copied(form), format=form), "sample_id", *COLUMNS) == expected(form)


TIMES = [datetime(1500, 1, 1), datetime(2024, 2, 29, 12, 0, 0, 5), datetime(9999, 12, 31)]
TYPED = {
    "key": pa.array(["a", "b", "c"]),
    **{
        f"whole{bits}": pa.array([1, 2, None], type_) for bits, type_ in enumerate((pa.int8(), pa.uint8(), pa.uint32()))
    },
    "large": pa.array([1, 2, 1 << 40], pa.uint64()),
    "single": pa.array([0.1, None, 3.0], pa.float32()),
    "exact": pa.array([Decimal("1.25"), None, Decimal("-3.50")]),
    "flag": pa.array([True, False, None]),
    "day": pa.array([at.date() for at in TIMES]),
    "naive": pa.array(TIMES, pa.timestamp("us")),
    "zoned": pa.array(TIMES[1:2] + TIMES[1:2] + [None], pa.timestamp("us", "UTC")),
    "word": pa.array(["x", "y", "x"]).dictionary_encode(),
    "long": pa.array(["x", None, "z"], pa.large_string()),
}
OF = {"whole": "long", "large": "long", "single": "double", "exact": "double", "flag": "long", "day": "timestamp"}
OF |= {"naive": "timestamp", "zoned": "timestamp"}


@SLOW
def test_types_are_those_that_the_reader_of_local_files_has(spark, tmp_path):
    pq.write_table(pa.table(TYPED), tmp_path / "a.parquet")
    columns = {name: {"type": OF.get(name.rstrip("012"), "string"), "nullable": True} for name in TYPED}
    columns["key"]["role"] = "key"
    fields = {"format": "parquet", "key": "key"}
    for declared in (columns, "inferred"):
        local = Table(files=[{"name": "a"}], columns=declared, **fields).read(spark, {"a": tmp_path / "a.parquet"}, 0)
        found = read(spark, tmp_path, columns=declared, **fields)
        assert found.columns == local.columns
        assert rows_of(found, *TYPED) == rows_of(local, *TYPED)
        assert found.refused is None


@SLOW
def test_times_as_spark_writes_them_by_default_are_those_that_were_written(spark, tmp_path):
    frame = spark.createDataFrame([(f"k{at}", time) for at, time in enumerate(TIMES)], "key string, at timestamp")
    spark.conf.set("spark.sql.parquet.outputTimestampType", "INT96")
    spark.conf.set("spark.sql.parquet.int96RebaseModeInWrite", "CORRECTED")
    frame.coalesce(1).write.parquet(f"file:{tmp_path / 'table'}")
    spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    spark.conf.unset("spark.sql.parquet.int96RebaseModeInWrite")
    columns = {"key": {"type": "string", "role": "key"}, "at": {"type": "timestamp"}}
    found = read(spark, tmp_path / "table", format="parquet", columns=columns, key="key")
    assert [row.at for row in found.frame.selectExpr("CAST(at AS string) at", "key").orderBy("key").collect()] == [
        "1500-01-01 00:00:00",
        "2024-02-29 12:00:00.000005",
        "9999-12-31 00:00:00",
    ]


@SLOW
def test_files_of_several_schemas_are_read_as_declared_and_others_are_refused(spark, tmp_path):
    tables = [{"who": ["a"], "pay": [1.5], "more": [[1]]}, {"pay": [2], "who": ["b"]}, {"pay": ["3"], "who": ["c"]}]
    for at, table in enumerate(tables):
        pq.write_table(pa.table(table), tmp_path / f"{at}.parquet")
    columns = {name: COLUMNS[name] for name in ("who", "pay")}
    found = read(spark, tmp_path, format="parquet", columns=columns)
    assert rows_of(found, "sample_id", "pay") == [("0.parquet:1", 1.5), ("1.parquet:1", 2.0), ("2.parquet:1", 3.0)]
    for declared, message in (
        ({**columns, "age": {"type": "long"}}, r"no columns \['age'\]"),
        ({**columns, "more": {"type": "long"}}, r"no columns \['more'\]|column 'more' is array"),
        ("inferred", "files differ in their columns"),
    ):
        with pytest.raises(BadData, match=message):
            read(spark, tmp_path, format="parquet", columns=declared)


@SLOW
@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("form", "content", "message"),
    [
        ("parquet", {"who": ["a"], "pay": pa.array([1001], pa.timestamp("ns"))}, "1 of them no whole microseconds"),
        ("parquet", {"who": ["a"], "pay": pa.array([1], pa.time64("us"))}, "of types that Spark cannot read"),
        ("parquet", {"who": ["a"], "pay": [1.0], "year": [1]}, r"columns \['year'\] are in the file, too"),
        ("parquet", b"PAR1 and more", "cannot be read to its end"),
        ("orc", {"who": ["a"], "pay": pa.array([TIMES[0]])}, "hold times of ORC"),
        ("csv", b"who,pay,year\na,1,1\n", "is a column of the files and of their folders"),
        ("csv", b"who,who,pay\na,1,1\n", "a column comes twice"),
        ("csv", b"name,pay\na,1\n", r"\['who'\] are missing"),
        ("csv", b"\xff,pay\na,1\n", "not UTF-8"),
        ("csv", b"who,pay\n\na\n", "no row fits the declared columns"),
        ("csv", b"", "empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(spark, tmp_path, form, content, message):
    path = tmp_path / "year=1" / f"a.{form}"
    path.parent.mkdir()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif form == "orc":
        orc.write_table(pa.table(content), path)
    else:
        pq.write_table(pa.table(content), path)
    columns = {"who": COLUMNS["who"], "pay": {"type": "timestamp"}, "year": COLUMNS["year"]}
    with pytest.raises(BadData, match=message), failed_jobs.translated(path):
        read(spark, tmp_path, format=form, columns=columns).frame.count()


@SLOW
def test_rows_over_several_lines_of_packed_texts_are_numbered_by_their_first_line(spark, tmp_path):
    content = '\ufeffwho;pay\r\n"a\r\nb";"1,5"\r\nc;"x"\r\nd;2,5\n'.encode()
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(content))
    columns = {name: COLUMNS[name] for name in ("who", "pay")}
    found = read(spark, tmp_path / "a.csv.gz", columns=columns, delimiter=";", decimal=",")
    assert rows_of(found, "sample_id", "who", "pay") == [("a.csv.gz:2", "a\nb", 1.5), ("a.csv.gz:5", "d", 2.5)]
    assert [row.sample_id for row in found.refused.collect()] == ["a.csv.gz:4"]

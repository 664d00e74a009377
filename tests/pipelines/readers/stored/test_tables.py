"""Tables read by the workers where they lie: the same rows, with the same identities, wherever that is."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from millstream.pipelines.publish.stores import reach
from millstream.pipelines.sources.table import Table
from millstream.tracking.dataset.filesystems import place
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


@pytest.mark.parametrize("form", FORMS)
def test_a_partitioned_folder_is_read_with_the_columns_that_its_folders_name(spark, folders, form):
    found = read(spark, folders / form, format=form)
    assert rows_of(found, "sample_id", *COLUMNS) == expected(form)
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


@pytest.fixture(params=["s3", "hadoop"])
def copied(request, spark, folders):
    """The URL of a copy of a folder."""

    def copy(form):
        if request.param == "hadoop":
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


@pytest.mark.parametrize("form", FORMS)
def test_the_same_files_behind_a_url_are_the_same_table(spark, copied, form):
    assert rows_of(read(spark, copied(form), format=form), "sample_id", *COLUMNS) == expected(form)

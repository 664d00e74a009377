"""Tables in folders of part files, as Spark and Hive write them, wherever they lie."""

import gzip
import json
import uuid

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millstream.pipelines import prepare
from millstream.pipelines.publish.stores import reach
from millstream.pipelines.readers import origin_files
from millstream.pipelines.sources.table import Table
from millstream.tracking.dataset.filesystems import place
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData
from millstream.tracking.verification.verify import verify
from tests.pipelines.made import rows_of
from tests.pipelines.test_prepare import located, quiet

pytestmark = pytest.mark.spark

COLUMNS = {"who": {"type": "string", "role": "key"}, "pay": {"type": "double"}}
ROWS = [(f"w{at:02d}", at / 4) for at in range(24)]


@pytest.fixture
def settings(settings, tmp_path, monkeypatch):
    """By which files are found in `mirror` and `here`."""
    for name in ("mirror", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return settings.model_copy(update={"mirror": tmp_path / "mirror"})


def source(*names, **fields):
    files = [{"name": name} if isinstance(name, str) else name for name in names]
    return Table(files=files, **{"columns": COLUMNS, "key": "who", **fields})


def read(spark, table, settings):
    files = {file.name: path for file, path in origin_files.locate_all(table, settings).items()}
    return table.read(spark, files, 0)


def written(spark, folder, kind, rows=ROWS, **options):
    """A folder as Spark writes it, with a mark of success, checksums, and an empty part in front."""
    frame = spark.createDataFrame(rows, "who string, pay double").repartitionByRange(3, "who")
    frame.sparkSession.createDataFrame([], frame.schema).coalesce(1).unionByName(frame).write.options(
        **{"mapreduce.fileoutputcommitter.marksuccessfuljobs": "true", **options}
    ).format({"jsonl": "json"}.get(kind, kind)).save(f"file:{folder}")
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("part-"))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "orc"])
def test_a_folder_that_spark_wrote_is_the_table_that_was_written(spark, tmp_path, settings, kind):
    parts = written(spark, tmp_path / "here" / "sales", kind, header="true")
    assert (tmp_path / "here" / "sales" / "_SUCCESS").is_file()
    assert len(parts) > 2
    for fields in ({}, {"columns": "inferred"}):
        table = source("sales", format=kind, **fields)
        assert rows_of(read(spark, table, settings), "who", "pay") == ROWS
    assert [file.name for file in origin_files.locate_all(table, settings)] == [f"sales/{name}" for name in parts]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_row_is_named_by_its_part_and_its_line_there(spark, tmp_path, settings, form):
    folder = tmp_path / "here" / "sales"
    folder.mkdir()
    for part, rows in (("000000_0", ["a", "odd", "b"]), ("000001_0", []), ("000002_0", ["c"])):
        written = [{"who": who, "pay": 1} if who != "odd" else {"who": who, "pay": "x"} for who in rows]
        lines = [json.dumps(one) if form == "jsonl" else f"{one['who']},{one['pay']}" for one in written]
        (folder / part).write_text("".join(f"{line}\n" for line in lines))
    table = read(spark, source("sales", format=form, header=False, key=None), settings)
    assert rows_of(table, "sample_id", "who") == [("000000_0:1", "a"), ("000000_0:3", "b"), ("000002_0:1", "c")]
    assert [row.sample_id for row in table.refused.collect()] == ["000000_0:2"]


def test_parts_that_share_their_names_with_those_of_another_folder_give_ids_of_their_own(spark, tmp_path, settings):
    for folder in ("y=1", "y=2"):
        (tmp_path / "here" / "sales" / folder).mkdir(parents=True)
        (tmp_path / "here" / "sales" / folder / "000000_0").write_text(f"{folder},1\n")
    entries = [{"name": "sales/y=1", "split": "train"}, {"name": "sales/y=2/", "split": "test"}]
    table = read(spark, source(*entries, header=False, key=None), settings)
    assert rows_of(table, "sample_id", "who", "split") == [
        ("sales/y=1/000000_0:1", "y=1", "train"),
        ("sales/y=2/000000_0:1", "y=2", "test"),
    ]


@pytest.mark.parametrize("kind", ["mirror", "here", "file", "s3", "viewfs"])
def test_a_folder_is_found_wherever_it_lies(spark, tmp_path, settings, request, kind):
    root = tmp_path / {"file": "else"}.get(kind, kind) / "my sales"
    parts = written(spark, root, "csv", header="true")
    name = root.as_uri() if kind == "file" else "my sales"
    if kind == "s3":
        below = uuid.uuid4().hex
        for path in root.iterdir():
            request.getfixturevalue("s3").put(f"{below}/my sales/{path.name}", path.read_bytes())
        name = f"s3a://bucket/{below}/my sales/"
    if kind == "viewfs":  # what Spark reaches hdfs by, too
        configuration = spark.sparkContext._jsc.hadoopConfiguration()
        configuration.set("fs.viewfs.mounttable.tables.link./data", root.parent.as_uri())
        name = "viewfs://tables/data/my sales"
        reach(place(name), lambda: spark)
    table = source(name, {"name": "more.csv"}, key=None)
    (tmp_path / "here" / "more.csv").write_text("who,pay\nx,7\n")
    found = read(spark, table, settings)
    assert [row[0] for row in rows_of(found, "who")] == ["x", *(who for who, _ in ROWS)]
    assert {row[0].rpartition(":")[0] for row in rows_of(found, "sample_id")} == {"more.csv", *parts} - {parts[0]}


def test_columns_that_only_some_parts_have_are_no_matter_where_nobody_needs_them(spark, tmp_path, settings):
    folder = tmp_path / "here" / "sales"
    folder.mkdir()
    frames = [{"who": ["a"], "pay": [1.5]}, {"pay": [2], "more": ["x"], "who": ["b"]}]
    for at, frame in enumerate(frames):
        pq.write_table(pa.table(frame), folder / f"part-{at}.parquet")
    found = read(spark, source("sales", format="parquet"), settings)
    assert rows_of(found, "who", "pay") == [("a", 1.5), ("b", 2.0)]


def test_an_empty_part_does_no_harm_and_an_empty_folder_is_refused(spark, tmp_path, settings):
    folder = tmp_path / "here" / "sales"
    folder.mkdir()
    with pytest.raises(
        BadData, match=r"sales: no part file in it .*; expected files such as .*: write the table again"
    ):
        read(spark, source("sales"), settings)
    (folder / "part-0.csv").touch()
    (folder / "part-1.csv.gz").write_bytes(gzip.compress(b""))
    with pytest.raises(BadData, match="sales: all of its 2 part files are empty; expected rows"):
        read(spark, source("sales"), settings)
    (folder / "part-2.csv").write_text("who,pay\n")
    with pytest.raises(BadData, match=r"sales: no row fits .*; only a header"):
        read(spark, source("sales"), settings)
    (folder / "part-3.csv").write_text("who,pay\na,b\n")
    with pytest.raises(BadData, match=r"sales: no row fits .*; line 2 of part-3\.csv: "):
        read(spark, source("sales"), settings)
    (folder / "part-4.csv").write_text("who,pay\na,1\n")
    assert rows_of(read(spark, source("sales"), settings), "who") == [("a",)]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("files", "entry", "message"),
    [
        (
            ["y=1/part-0", "y=2/part-0"],
            {},
            r"holds the folders \['y=1', 'y=2'\].*name each of the folders, as `sales/y=1`",
        ),
        (["part-0", "_delta_log/0.json"], {}, "holds _delta_log, by which some of its files do not count"),
        (["part-0"], {"sha256": "0" * 64}, "is a folder; expected a file: .* or leave out the sha256"),
        (["_SUCCESS", ".part-0.crc", "_temporary/0/part-0"], {}, "no part file in it"),
    ],
    ids=["folders", "log", "hash", "hidden"],
)
@pytest.mark.parametrize("kind", ["here", "s3"])
def test_a_folder_that_is_no_table_in_parts_is_refused(tmp_path, settings, request, kind, files, entry, message):
    name = "sales"
    if kind == "s3":
        name = f"s3://bucket/{uuid.uuid4().hex}/sales"
    for file in files:
        if kind == "s3":
            request.getfixturevalue("s3").put(f"{name.removeprefix('s3://bucket/')}/{file}", b"a,1\n")
        else:
            path = tmp_path / "here" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("a,1\n")
    with pytest.raises(BadData, match=message.replace("`sales", f"`{name}")):
        origin_files.locate_all(source({"name": name, **entry}, header=False), settings)


@pytest.mark.bad_input
def test_parts_with_another_header_are_reported(spark, tmp_path, settings):
    folder = tmp_path / "here" / "sales"
    folder.mkdir()
    (folder / "a").write_text("who,pay\na,1\n")
    (folder / "b").write_text("pay,who\n1,b\n")
    with pytest.raises(BadData, match="b:1: the header is another than that of a; name each file"):
        read(spark, source("sales"), settings)
    assert rows_of(read(spark, source("sales/a", "sales/b"), settings), "who") == [("a",), ("b",)]


def test_a_folder_becomes_a_version_that_lists_its_parts_and_another_when_one_comes(spark, tmp_path, settings):
    folder = tmp_path / "mirror" / "sales"
    written(spark, folder, "parquet")
    table = {"name": "table", "files": [{"name": "sales"}], "format": "parquet", "key": "who", "columns": COLUMNS}
    recipe = located(tmp_path, data={"source": table, "steps": [{"split": {"by": "hash", "key": "who", "test": 0.5}}]})
    assert prepare.faults(recipe) == []
    first = prepare.prepare(recipe, settings, say=quiet)
    dataset = Dataset.open(first.path, settings.store)
    parts = sorted(path for path in folder.iterdir() if path.suffix == ".parquet")
    recorded = [(file.name, file.sha256, file.bytes) for file in dataset.manifest.source.files]
    assert recorded == [(f"sales/{one.name}", origin_files.content_hash(one), one.stat().st_size) for one in parts]
    assert sum(first.rows.values()) == len(ROWS)
    assert verify(dataset) == []
    assert prepare.find(recipe, settings).folder == dataset.folder
    pd.DataFrame({"who": ["new"], "pay": [1.0]}).to_parquet(folder / "part-9.parquet")
    again = prepare.prepare(recipe, settings, say=quiet)
    assert again.version != first.version
    assert sum(again.rows.values()) == len(ROWS) + 1

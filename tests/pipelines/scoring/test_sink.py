"""Rows arrive whole or not at all, wherever they are written."""

from __future__ import annotations

import pyarrow.dataset as arrow
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from millstream.pipelines.scoring.sink import OnDisk, Sink
from millstream.tracking.dataset.filesystems import Remote
from millstream.tracking.errors import BadData, BadEnvironment
from tests.s3 import BUCKET

pytestmark = pytest.mark.spark
ROWS = 40


@pytest.fixture(scope="module")
def frame(s3, spark):
    # its session may have been started before the server
    spark.sparkContext.environment.update(s3.environment)
    return spark.range(ROWS, numPartitions=4).withColumn("at", F.timestamp_seconds("id"))


def doubled(frame):
    return frame.withColumn("twice", F.col("id") * 2)


@pytest.mark.parametrize("rows", [ROWS, 0])
def test_a_folder_has_the_rows_that_were_read_with_what_was_made_of_them(frame, tmp_path, rows):
    sink = Sink.of(str(tmp_path / "new" / "scored"), lambda: None)
    assert sink.write(frame.where(f"id < {rows}"), doubled) == rows
    found = pq.read_table(tmp_path / "new" / "scored").to_pandas()
    assert sorted(zip(found["id"], found["twice"], strict=True)) == [(at, 2 * at) for at in range(rows)]
    assert [one.name for one in (tmp_path / "new").iterdir()] == ["scored"]
    with pytest.raises(BadData, match="is there already"):
        Sink.of(str(tmp_path / "new" / "scored"), lambda: None)


def test_rows_that_predicting_loses_are_counted_and_refused(frame, tmp_path):
    with pytest.raises(BadEnvironment, match="40 rows were read, 39 rows were predicted, 39 rows were written"):
        Sink.of(str(tmp_path / "scored"), lambda: None).write(frame, lambda read: doubled(read.where("id != 7")))
    assert list(tmp_path.iterdir()) == []


def test_rows_that_went_to_another_disk_are_counted_and_refused(frame, tmp_path, monkeypatch):
    def elsewhere(staged, rows):
        rows.write.parquet(f"file:{staged.folder}/rows")
        min((staged.folder / "rows").glob("*.parquet")).unlink()  # what this host sees of a part on another one's disk

    monkeypatch.setattr(OnDisk, "write", elsewhere)
    with pytest.raises(BadEnvironment, match=r"40 rows were predicted, 30 rows were written.* all hosts share"):
        Sink.of(str(tmp_path / "scored"), lambda: None).write(frame, doubled)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.bad_input
def test_a_folder_that_may_not_be_made_is_refused(frame, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadEnvironment, match="cannot be written"):
        Sink.of(str(tmp_path / "file" / "scored"), lambda: None).write(frame, doubled)


@pytest.mark.parametrize("rows", [ROWS, 0])
def test_a_url_has_the_same_rows_and_a_mark_at_the_end(frame, s3, rows):
    url = f"s3://{BUCKET}/sink {rows}/scored"
    sink = Sink.of(url, lambda: None)
    assert sink.write(frame.where(f"id < {rows}"), doubled) == rows
    written = Remote(url)
    assert "_SUCCESS" in written.files()
    found = arrow.dataset(url.removeprefix("s3://"), filesystem=written.system, format="parquet").to_table().to_pandas()
    assert sorted(zip(found["id"], found["twice"], strict=True)) == [(at, 2 * at) for at in range(rows)]
    assert list(Remote(url.rpartition("/")[0]).iterdir()) == [written]
    with pytest.raises(BadData, match="is there already"):
        Sink.of(url, lambda: None)


@pytest.mark.bad_input
def test_nothing_is_left_at_a_url_where_rows_were_lost(frame, s3):
    url = f"s3://{BUCKET}/lost/scored"
    with pytest.raises(BadEnvironment, match="39 rows were predicted"):
        Sink.of(url, lambda: None).write(frame, lambda read: read.where("id != 7"))
    assert Remote(f"s3://{BUCKET}/lost").files() == {}

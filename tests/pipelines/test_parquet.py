from datetime import date, datetime
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import parquet
from tracking.faults import BadData

pytestmark = [pytest.mark.spark, pytest.mark.bad_input]
UTC, DAY = "UTC", date(2020, 1, 2)
TIME = datetime(2020, 1, 2, 3, 4, 5, 678000)
PLAIN = {
    "truth": pa.array([True, None]),
    "byte": pa.array([-1, None], pa.int8()),
    "short": pa.array([300, None], pa.int16()),
    "whole": pa.array([70_000, None], pa.int32()),
    "long": pa.array([1 << 40, None], pa.int64()),
    "single": pa.array([0.1, None], pa.float32()),
    "double": pa.array([0.1, None], pa.float64()),
    "text": pa.array(["\u00e4", None]),
    "day": pa.array([DAY, None]),
    **{
        f"{unit} {zone}": pa.array([TIME, None], pa.timestamp(unit, zone))
        for unit in ("ms", "us")
        for zone in (None, UTC)
    },
}
OTHER = {
    "bytes": pa.array([b"a", None]),
    "unsigned": pa.array([1, None], pa.uint32()),
    "decimal": pa.array([Decimal("1.50"), None]),
    "list": pa.array([[1], None]),
    "word": pa.array(["a", None]).dictionary_encode(),
}


@pytest.mark.parametrize("store_schema", [True, False])
@pytest.mark.parametrize("columns", [PLAIN, *({name: one, "v": PLAIN["long"]} for name, one in OTHER.items())])
def test_columns_have_the_types_that_spark_finds(spark, tmp_path, columns, store_schema):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(columns), path, store_schema=store_schema, coerce_timestamps=None)
    found, asked = parquet.read(spark, path), spark.read.parquet(str(path))
    assert found.schema == asked.schema
    assert found.collect() == asked.collect()
    assert (parquet.types_of(pq.read_schema(path)) is not None) == (
        columns is PLAIN or (not store_schema and "word" in columns)
    )


def test_times_in_nanoseconds_are_told_with_what_would_do(spark, tmp_path):
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({"t": pd.to_datetime(["2020-01-01"]).astype("datetime64[ns]"), "v": 1.0})
    frame.to_parquet(path)
    with pytest.raises(BadData, match=r"columns \['t'\] hold times in nanoseconds"):
        parquet.read(spark, path)
    frame.to_parquet(path, coerce_timestamps="us", allow_truncated_timestamps=True)
    assert [str(row.t) for row in parquet.read(spark, path).collect()] == ["2020-01-01 00:00:00"]


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1" + bytes(40) + b"PAR1"])
def test_a_file_that_is_no_parquet_is_refused(spark, tmp_path, content):
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    with pytest.raises(BadData, match="cannot be read as Parquet"):
        parquet.read(spark, path)

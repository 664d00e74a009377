from datetime import date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millstream.pipelines.readers import parquet_schema
from millstream.tracking.errors import BadData

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
    found, expected = parquet_schema.read(spark, path), spark.read.parquet(str(path))
    assert found.schema == expected.schema
    assert found.collect() == expected.collect()
    assert (parquet_schema.types_of(pq.read_schema(path)) is not None) == (
        columns is PLAIN or (not store_schema and "word" in columns)
    )


def test_nanoseconds_are_read_to_the_microsecond_and_finer_ones_refused(spark, tmp_path):
    path = tmp_path / "t.parquet"
    micros = [1577934245678901, -1, None]
    for zone, kind in ((None, "timestamp_ntz"), ("UTC", "timestamp")):
        nanos = [None if one is None else one * 1000 for one in micros]
        pq.write_table(pa.table({"t": pa.array(nanos, pa.timestamp("ns", zone)), "v": [1, 2, 3]}), path)
        found = parquet_schema.read(spark, path)
        assert found.schema["t"].dataType.typeName() == kind
        assert [row[0] for row in found.selectExpr("unix_micros(cast(t as timestamp))").collect()] == micros
    pq.write_table(pa.table({"t": pa.array([1, 1000], pa.timestamp("ns"))}), path)
    with pytest.raises(BadData, match=r"columns \['t'\] hold times in nanoseconds.*coerce_timestamps='us'"):
        parquet_schema.read(spark, path)


@pytest.mark.parametrize("store_schema", [True, False])
def test_times_as_spark_writes_them_by_default_are_instants(spark, tmp_path, store_schema):
    path = tmp_path / "t.parquet"
    times = [TIME, datetime(1, 1, 1), datetime(9999, 12, 31), None]
    table = pa.table(
        {"t": pa.array(times, pa.timestamp("us")), "list": pa.array([[TIME]] * 4, pa.list_(pa.timestamp("us")))}
    )
    pq.write_table(table, path, use_deprecated_int96_timestamps=True, store_schema=store_schema)
    assert pq.ParquetFile(path).schema.column(0).physical_type == "INT96"
    found = parquet_schema.read(spark, path)
    assert [kind for _, kind in found.dtypes] == ["timestamp", "array<timestamp>"]
    texts = [None if time is None else f"{time:%H:%M:%S}" for time in times]
    assert [row[0] for row in found.selectExpr("date_format(t, 'HH:mm:ss')").collect()] == texts
    assert [row[0] for row in found.selectExpr("year(t)").collect()] == [2020, 1, 9999, None]


@pytest.mark.parametrize("values", [pa.array([time(7)]), pa.array([[1]], pa.list_(pa.timestamp("ns")))])
def test_columns_that_spark_cannot_read_are_named_with_their_types(spark, tmp_path, values):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"odd": values, "v": [1]}), path)
    with pytest.raises(BadData, match=r"t\.parquet: columns \{'odd': '.*'\} are of types that Spark cannot read"):
        parquet_schema.read(spark, path)


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1" + bytes(40) + b"PAR1"])
def test_a_file_that_is_no_parquet_is_refused(spark, tmp_path, content):
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    with pytest.raises(BadData, match="cannot be read as Parquet"):
        parquet_schema.read(spark, path)

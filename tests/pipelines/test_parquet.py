import pandas as pd
import pytest

from pipelines import parquet
from tracking.faults import BadData

pytestmark = [pytest.mark.spark, pytest.mark.bad_input]


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

#!/usr/bin/env bash
# Spark 4.3.0 writes timestamps that pyarrow 25.0.1 reads as other dates.
#
# Expected: a Parquet file written by Spark holds the same timestamps for
# every reader, or a reader that cannot hold one raises an error.
# What happens: Spark stores TimestampType as INT96. pyarrow converts INT96 to
# nanoseconds in 64 bits, which covers 1678 to 2262 alone. Timestamps outside
# wrap around without an error: the year 1500 becomes 2084, the end of 9999
# becomes 1816. pandas.read_parquet does the same through pyarrow.
# Why it matters: 9999-12-31 is a common mark for "still valid". As a feature
# it becomes an age of two hundred years, and a split by time puts the row on
# the wrong side.
# What to do: read with coerce_int96_timestamp_unit="us", or let Spark write
# with spark.sql.parquet.outputTimestampType=TIMESTAMP_MICROS.
# Seen with: pyspark 4.3.0, pyarrow 25.0.1, Python 3.11, Java 17.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install -qq --disable-pip-version-check pyspark==4.3.0 pyarrow==25.0.1
env/bin/python - 2> log <<'EOF' || { cat log >&2; exit 1; }
import glob

import pyarrow.parquet as pq
from pyspark.sql import SparkSession

spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.sql.session.timeZone", "UTC")
    .getOrCreate()
)
query = "SELECT timestamp'{}' AS t"
days = ["1500-01-01", "2020-01-01", "9999-12-31"]
both = {"default": {}, "micros": {"spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS"}}
seen = {}
for name, settings in both.items():
    for key, value in settings.items():
        spark.conf.set(key, value)
    rows = spark.sql(" UNION ALL ".join(query.format(day) for day in days))
    rows.coalesce(1).write.parquet(name)
    file = glob.glob(f"{name}/*.parquet")[0]
    physical = pq.ParquetFile(file).schema.column(0).physical_type
    for options in ({}, {"coerce_int96_timestamp_unit": "us"}):
        column = pq.read_table(file, **options)["t"].cast("timestamp[us]", safe=False)
        found = [str(value)[:10] for value in column.to_pylist()]
        seen[name, bool(options)] = found
        print(f"written as {physical}, read with {options or 'defaults'}: {found}")

wrapped = ["2084-07-20", "2020-01-01", "1816-03-29"]
stated = {
    ("default", False): wrapped,
    ("default", True): days,
    ("micros", False): days,
    ("micros", True): days,
}
if seen != stated:
    raise SystemExit(f"CHANGED: {seen}")
print("AS STATED: far timestamps wrap under the defaults of both libraries")
EOF

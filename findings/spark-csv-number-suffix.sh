#!/usr/bin/env bash
# Spark 4.3.0 infers "12d" and "3f" in CSV as the numbers 12.0 and 3.0.
#
# Expected: a column with the texts 12d and 3f is inferred as text, and under a
# declared double these cells are malformed.
# What happens: Spark reads doubles by Java's rules for literals, in which a
# closing d or f marks the type. The column becomes double and the letters are
# lost. Neither FAILFAST nor try_cast reports it. Other letters are not accepted,
# so a column of 12a and 3b stays text.
# Why it matters: house numbers, sizes, product codes and short hexadecimal
# ids look like this. 12 and 12d become one category, and a validation by
# try_cast passes every row.
# What to do: declare the column as text, or check its form by a pattern
# before the cast.
# Seen with: pyspark 4.3.0, Python 3.11, Java 17.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install -qq --disable-pip-version-check pyspark==4.3.0
printf 'house,size\n12d,12a\n3f,3b\n12,12\n' > houses.csv
env/bin/python - 2> log <<'EOF' || { cat log >&2; exit 1; }
from pyspark.sql import SparkSession

spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.host", "127.0.0.1")
    .getOrCreate()
)
inferred = spark.read.csv("houses.csv", header=True, inferSchema=True)
types = dict(inferred.dtypes)
values = [row.house for row in inferred.collect()]
strict = spark.read.csv("houses.csv", header=True, schema="house double, size string", mode="FAILFAST")
accepted = strict.where("house IS NOT NULL").count()
cast = spark.sql("SELECT try_cast('12d' AS double) AS v").first().v
print(f"inferred types: {types}")
print(f"values of house: {values}")
print(f"rows accepted as double under FAILFAST: {accepted} of 3; try_cast('12d'): {cast}")

seen = (types, values, accepted, cast)
stated = ({"house": "double", "size": "string"}, [12.0, 3.0, 12.0], 3, 12.0)
if seen != stated:
    raise SystemExit(f"CHANGED: {seen}")
print("AS STATED: the letters are lost without an error")
EOF

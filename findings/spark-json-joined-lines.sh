#!/usr/bin/env bash
# Spark 4.3.0 reads the first JSON object of a line and drops the rest.
#
# Expected: a line with two objects, {"id":2}{"id":3}, is two rows or a
# malformed record. Python's json module raises an error for it.
# What happens: the first object is returned. The second one is lost. Mode
# FAILFAST raises nothing and the column of corrupt records stays null.
# Why it matters: such lines arise wherever files of JSON lines are joined and
# one of them has no line break at its end. One row is lost at each seam, which
# no count of corrupt records shows.
# What to do: compare the number of rows with that of the sources, or parse
# the line a second time as "[" + line + "]" and refuse what fails.
# Seen with: pyspark 4.3.0, Python 3.11, Java 17.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install -qq --disable-pip-version-check pyspark==4.3.0
printf '{"id":1}\n{"id":2}' > monday.jsonl
printf '{"id":3}\n{"id":4}\n' > tuesday.jsonl
cat monday.jsonl tuesday.jsonl > week.jsonl
env/bin/python - 2> log <<'EOF' || { cat log >&2; exit 1; }
import json

from pyspark.sql import SparkSession

spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.host", "127.0.0.1")
    .getOrCreate()
)
schema = "id int, bad string"
marked = spark.read.json("week.jsonl", schema=schema, columnNameOfCorruptRecord="bad").collect()
strict = spark.read.json("week.jsonl", schema="id int", mode="FAILFAST").collect()
apart = spark.read.json(["monday.jsonl", "tuesday.jsonl"], schema="id int").count()
errors = []
for line in open("week.jsonl"):
    try:
        json.loads(line)
    except ValueError as error:
        errors.append(error.args[0])
print(f"joined file: ids {[row.id for row in marked]}, corrupt {[row.bad for row in marked]}")
print(f"joined file under FAILFAST: ids {[row.id for row in strict]}; the two files apart: {apart} rows")
print(f"errors of Python's json module: {errors}")

whole = [row.id for row in marked] == [row.id for row in strict] == [1, 2, 4]
if not (whole and {row.bad for row in marked} == {None} and apart == 4 and len(errors) == 1):
    raise SystemExit("CHANGED")
print("AS STATED: the row with id 3 is lost without an error")
EOF

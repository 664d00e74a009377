#!/usr/bin/env bash
# Spark 4.3.0: hash and xxhash64 skip nulls, so different rows share one hash.
#
# Expected: a 64-bit hash over several columns differs for (1, null) and
# (null, 1), apart from rare collisions.
# What happens: a null adds nothing to hash() and xxhash64(). All rows with the
# same values in the same order get one hash, wherever their nulls are. This
# holds for structs and arrays too, and concat_ws drops nulls the same way.
# Why it matters: such a hash is often the key by which rows are deduplicated,
# assigned to train and test, or compared between the splits for leaks. In
# tables with many gaps different rows are dropped as duplicates.
# What to do: hash the null flags with the values, or hash to_json of a struct
# with ignoreNullFields=false.
# Seen with: pyspark 4.3.0, Python 3.11, Java 17.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install -qq --disable-pip-version-check pyspark==4.3.0
env/bin/python - 2> log <<'EOF' || { cat log >&2; exit 1; }
from pyspark.sql import SparkSession

spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.host", "127.0.0.1")
    .getOrCreate()
)
# four different patients: a reading is there or missing
spark.sql(
    "SELECT * FROM VALUES (7, NULL, NULL), (NULL, 7, NULL), (NULL, NULL, 7), (7, 7, NULL) AS t(a, b, c)"
).createOrReplaceTempView("readings")
ways = {
    "distinct rows": "struct(a, b, c)",
    "hash": "hash(a, b, c)",
    "xxhash64": "xxhash64(a, b, c)",
    "xxhash64 of a struct": "xxhash64(struct(a, b, c))",
    "xxhash64 of an array": "xxhash64(array(a, b, c))",
    "concat_ws": "concat_ws('|', a, b, c)",
    "xxhash64 with null flags": "xxhash64(a, b, c, isnull(a), isnull(b), isnull(c))",
    "xxhash64 of full JSON": "xxhash64(to_json(struct(a, b, c), map('ignoreNullFields', 'false')))",
}
seen = {}
for name, key in ways.items():
    seen[name] = spark.sql(f"SELECT {key} AS k FROM readings").distinct().count()
    print(f"{name}: {seen[name]} of 4 rows remain")

stated = dict(zip(ways, (4, 2, 2, 2, 2, 2, 4, 4), strict=True))
if seen != stated:
    raise SystemExit(f"CHANGED: {seen}")
print("AS STATED: three different rows have one hash")
EOF

#!/usr/bin/env bash
# pyspark 4.3.0 with pandas 3.1.1 and Arrow off: missing texts become "nan".
#
# Expected: createDataFrame of a pandas frame makes a missing text a null, with
# Arrow's conversion and without it. pandas up to 2 held such a gap as None,
# which became null.
# What happens: pandas 3 has a text type whose gap is NaN. Without Arrow the
# gap becomes the text "nan", in a column where no value is null. A nullable
# whole number column becomes double with NaN. With Arrow both become null.
# Why it matters: "nan" is one more category for the encoder, dropna and
# counts of nulls find nothing. Code that was right with pandas 2 changes its
# result when pandas is upgraded.
# What to do: switch spark.sql.execution.arrow.pyspark.enabled on, or pass
# texts as type object with None in the gaps.
# Seen with: pyspark 4.3.0, pandas 3.1.1, pyarrow 25.0.1, Python 3.11, Java 17.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install -qq --disable-pip-version-check pyspark==4.3.0 pandas==3.1.1 pyarrow==25.0.1
env/bin/python - 2> log <<'EOF' || { cat log >&2; exit 1; }
import pandas as pd
from pyspark.sql import SparkSession

spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.host", "127.0.0.1")
    .getOrCreate()
)
frame = pd.DataFrame({"colour": ["red", None, "blue"], "age": pd.array([31, None, 47], dtype="Int64")})
asobject = frame.assign(colour=frame["colour"].astype(object).where(frame["colour"].notna(), None))
seen = {}
for name, arrow, given in (("on", "true", frame), ("off", "false", frame), ("off, type object", "false", asobject)):
    spark.conf.set("spark.sql.execution.arrow.pyspark.enabled", arrow)
    spark.conf.set("spark.sql.execution.arrow.pyspark.fallback.enabled", "false")
    table = spark.createDataFrame(given)
    gap = table.collect()[1]
    seen[name] = (gap.colour, table.where("colour IS NULL").count(), dict(table.dtypes)["age"], str(gap.age))
    print(f"Arrow {name}: gap in texts {gap.colour!r}, gap in numbers {gap.age!r} ({seen[name][2]})")

stated = {
    "on": (None, 1, "bigint", "None"),
    "off": ("nan", 0, "double", "nan"),
    "off, type object": (None, 1, "double", "nan"),
}
if seen != stated:
    raise SystemExit(f"CHANGED: {seen}")
print("AS STATED: without Arrow a missing text is the text 'nan'")
EOF

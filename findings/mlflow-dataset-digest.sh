#!/usr/bin/env bash
# MLflow 3.17.2: different training data have the same dataset digest.
#
# Expected: mlflow.data.from_pandas and from_numpy compute a digest that
# changes when the data do.
# What happens: only the first 10,000 rows of a frame are hashed, and only its
# columns of numbers and of texts without a gap. Booleans, dates, arrays and a
# text column with one missing value are left out. Of a numpy array the first
# 10,000 single numbers are hashed, which is 12 images of 28 by 28. Besides
# these the shape and the column names count.
# Why it matters: the digest is what the tracking page shows for "which data
# was this model trained on". Two runs on different embeddings, labels of type
# bool or images show one dataset, and nothing shows that they differ.
# What to do: compute a hash of the whole content and pass it as digest=.
# Seen with: MLflow 3.17.2 (mlflow-skinny), pandas 2.3.3, numpy 2.4.6,
# Python 3.11.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install -qq --disable-pip-version-check mlflow-skinny==3.17.2 pandas==2.3.3 numpy==2.4.6
env/bin/python -W ignore - 2> log <<'EOF' || { cat log >&2; exit 1; }
import mlflow.data
import numpy as np
import pandas as pd

frame = pd.DataFrame(
    {
        "amount": np.arange(12000.0),
        "city": "Bonn",
        "paid": True,
        "day": pd.Timestamp("2024-01-01"),
        "vector": [np.zeros(2)] * 12000,
    }
)
frame["note"] = [None] + ["a"] * 11999
changes = {
    "amount of row 5": frame.assign(amount=frame["amount"].where(frame.index != 5, -1.0)),
    "city of all rows": frame.assign(city="Rome"),
    "amount of row 11000": frame.assign(amount=frame["amount"].where(frame.index != 11000, -1.0)),
    "paid of all rows": frame.assign(paid=False),
    "day of all rows": frame.assign(day=pd.Timestamp("2020-01-01")),
    "vector of all rows": frame.assign(vector=[np.ones(2)] * 12000),
    "note of all rows but one": frame.assign(note=[None] + ["b"] * 11999),
}
before = mlflow.data.from_pandas(frame).digest
seen = {name: mlflow.data.from_pandas(changed).digest != before for name, changed in changes.items()}
images = np.zeros((100, 28, 28))
other = images.copy()
other[13:] = 1.0
seen["87 of 100 images"] = mlflow.data.from_numpy(other).digest != mlflow.data.from_numpy(images).digest
for name, differs in seen.items():
    print(f"changed {name}: digest {'differs' if differs else 'is the same'}")

noticed = [name for name, differs in seen.items() if differs]
if noticed != ["amount of row 5", "city of all rows"]:
    raise SystemExit(f"CHANGED: {noticed}")
print(f"AS STATED: {len(seen) - len(noticed)} of {len(seen)} changes leave the digest as it was")
EOF

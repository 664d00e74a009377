#!/usr/bin/env bash
# MLflow 3.17.2 on SQLite returns an infinite metric as a finite number.
#
# Expected: a metric logged as inf is inf when it is read, as nan is nan.
# What happens: the store replaces inf by 1.7976931348623157e+308, the largest
# double, and -inf by its negative. Both are finite. No warning is raised; the
# docstring of log_metric mentions it.
# Why it matters: a check with math.isfinite for diverged runs passes, the mean
# over seeds of one such run and others is a number of 308 digits rather than
# inf, and two of them add up to inf later, far from the cause.
# What to do: compare abs(value) with 1e308 when metrics are read, and log a
# tag or a metric of its own for a run that diverged.
# Seen with: MLflow 3.17.2 (mlflow-skinny with the SQL store), SQLAlchemy 2.1.9,
# Python 3.11.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install -qq --disable-pip-version-check mlflow-skinny==3.17.2 sqlalchemy==2.1.9 alembic==1.20.1 \
    pandas==2.3.3 numpy==2.4.6
env/bin/python -W ignore - 2> log <<'EOF' || { cat log >&2; exit 1; }
import math

from mlflow import MlflowClient

client = MlflowClient("sqlite:///runs.db")
run = client.create_run(client.create_experiment("losses")).info.run_id
logged = [0.5, math.inf, -math.inf, math.nan]
for step, value in enumerate(logged):
    client.log_metric(run, "loss", value, step=step)
read = [metric.value for metric in sorted(client.get_metric_history(run, "loss"), key=lambda metric: metric.step)]
for before, after in zip(logged, read, strict=True):
    print(f"logged {before}, read {after}, finite: {math.isfinite(after)}")
total = read[1] + read[1]
print(f"sum of the value read and itself: {total}")

largest = 1.7976931348623157e308
if not (read[:3] == [0.5, largest, -largest] and math.isnan(read[3]) and math.isinf(total)):
    raise SystemExit(f"CHANGED: {read}")
print("AS STATED: infinite metrics are finite when read")
EOF

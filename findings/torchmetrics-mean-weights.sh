#!/usr/bin/env bash
# torchmetrics 1.9.0: MeanMetric leaves weights out where NaN may pass.
#
# Expected: `nan_strategy` sets what is done about NaN, and a weighted mean
# stays a weighted mean: of 1 with weight 1 and 3 with weight 3 it is 2.5.
# What happens: with `nan_strategy="disable"`, which skips the search for NaN,
# the weights are replaced by ones: the mean is 2.0, without a warning.
# Why it matters: a loss over tokens is a mean weighed by lengths, and a loss
# is where NaN should show. The perplexity of a split is then wrong, the more
# so the more its sentences differ in length.
# What to do: keep two sums oneself, or take `nan_strategy="error"`.
# Seen with: torchmetrics 1.9.0, torch 2.13.0, Python 3.11.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install -qq --disable-pip-version-check torch==2.13.0 torchmetrics==1.9.0
env/bin/python -W error - <<'PY'
import torch
from torchmetrics import MeanMetric

seen = {}
for strategy in ("error", "disable"):
    metric = MeanMetric(nan_strategy=strategy)
    metric.update(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 3.0]))
    seen[strategy] = float(metric.compute())
    print(f"nan_strategy={strategy!r}: {seen[strategy]}")
if seen != {"error": 2.5, "disable": 2.0}:
    raise SystemExit(f"CHANGED: {seen}")
print("AS STATED: the weights are left out, without a warning")
PY

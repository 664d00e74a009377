#!/usr/bin/env bash
# torchmetrics 1.9.0: whether predictions are logits is guessed batch by batch.
#
# Expected: a metric that is fed with logits returns the same value however
# the rows are divided into batches.
# What happens: binary metrics apply the sigmoid to a batch only if some value
# in it lies outside 0 to 1. A batch whose logits all lie within is taken for
# probabilities: a logit of 0.3, which means positive, is below the threshold
# of 0.5 and counts as negative. Even the area under the ROC curve changes,
# since scores of two scales are ranked together.
# Why it matters: early in training and in small or last batches logits are
# near 0. The metric then moves with the batch size and the number of devices,
# and early stopping and the choice of checkpoints follow it.
# What to do: pass torch.sigmoid(logits) to the metric.
# Seen with: torchmetrics 1.9.0, torch 2.13.0, Python 3.11.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install -qq --disable-pip-version-check torch==2.13.0 torchmetrics==1.9.0
env/bin/python -W ignore - <<'EOF'
import torch
from torchmetrics.classification import BinaryAccuracy, BinaryAUROC

logits = torch.tensor([0.2, 0.4, 0.7, 0.3, -2.0, 3.0, -1.0, 2.0])
targets = (logits > 0).int()  # a perfect model

seen = {}
for kind in (BinaryAccuracy, BinaryAUROC):
    for name, scores in (("logits", logits), ("probabilities", logits.sigmoid())):
        values = []
        for size in (8, 4):
            metric = kind()
            for at in range(0, 8, size):
                metric.update(scores[at : at + size], targets[at : at + size])
            values.append(round(float(metric.compute()), 4))
        seen[kind.__name__, name] = tuple(values)
        print(f"{kind.__name__} of {name}: one batch of 8: {values[0]}, two batches of 4: {values[1]}")

stated = {
    ("BinaryAccuracy", "logits"): (1.0, 0.625),
    ("BinaryAccuracy", "probabilities"): (1.0, 1.0),
    ("BinaryAUROC", "logits"): (1.0, 0.9167),
    ("BinaryAUROC", "probabilities"): (1.0, 1.0),
}
if seen != stated:
    raise SystemExit(f"CHANGED: {seen}")
print("AS STATED: the metric of logits depends on the batch size")
EOF

#!/usr/bin/env bash
# torch 2.13.0: CrossEntropyLoss over ignored targets alone is NaN with a
# gradient of zero; with class weight 0 the gradient is NaN too.
#
# Expected: two ways to leave targets out, ignore_index and a class weight of
# 0, behave alike when a batch has nothing else: both harmless or both not.
# What happens: both means are 0 / 0, so both losses are NaN. With ignore_index
# the gradient is exactly 0 and a step changes nothing. With class weight 0
# the gradient is NaN and one step of SGD makes every weight NaN.
# Why it matters: batches of padding alone come from short last batches, from
# micro batches in gradient accumulation and from masked tokens. A guard on NaN
# losses stops a run that is healthy; the epoch mean is NaN all the same. After
# a change to class weights the same batch ruins the model.
# What to do: sum with reduction="sum" and divide by max(count, 1), or look at
# the gradients rather than the loss. Leave classes out by ignore_index.
# Seen with: torch 2.13.0 on the CPU, Python 3.11.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install -qq --disable-pip-version-check torch==2.13.0
env/bin/python -W ignore - <<'EOF'
import torch
from torch import nn

inputs = torch.arange(12.0).reshape(4, 3)
cases = {
    "ignore_index": (nn.CrossEntropyLoss(ignore_index=0), 0),
    "class weight 0": (nn.CrossEntropyLoss(weight=torch.tensor([0.0, 1.0, 1.0])), 0),
    "ignore_index, one real target": (nn.CrossEntropyLoss(ignore_index=0), 1),
}
seen = {}
for name, (criterion, real) in cases.items():
    torch.manual_seed(0)
    layer = nn.Linear(3, 3)
    before = layer.weight.detach().clone()
    targets = torch.zeros(4, dtype=torch.long)
    targets[:real] = 2
    loss = criterion(layer(inputs), targets)
    loss.backward()
    torch.optim.SGD(layer.parameters(), lr=0.1).step()
    moved = not torch.equal(layer.weight, before)
    seen[name] = (bool(loss.isnan()), float(layer.weight.grad.abs().max()), moved)
    print(f"{name}: loss {loss.item():.3f}, largest gradient {seen[name][1]:.3f}, weights changed: {moved}")

nan_loss, gradient, moved = seen["ignore_index"]
healthy = nan_loss and gradient == 0 and not moved
nan_loss, gradient, moved = seen["class weight 0"]
ruined = nan_loss and gradient != gradient and moved
if not healthy or not ruined or seen["ignore_index, one real target"][0]:
    raise SystemExit("CHANGED")
print("AS STATED: one NaN loss is harmless, the other one ruins the weights")
EOF

#!/usr/bin/env bash
# torch 2.13.0: a fully masked row in MultiheadAttention is finite in training
# and NaN in evaluation.
#
# Expected: a sequence whose keys are all masked has one result, whatever the
# mode and whether the attention weights are asked for.
# What happens: with need_weights=False and gradients the row is the bias of
# the output layer. After eval() and under no_grad another implementation runs
# and the same row is NaN. With need_weights=True it is NaN always, and the
# gradient of the shared weights is NaN even when the loss leaves the row out.
# Why it matters: empty sequences and padded rows of a last batch are such
# rows. Training looks right and the first validation is NaN; a training
# step that asks for the weights, to draw them, ruins the model.
# What to do: unmask one key of empty rows and drop their results, or keep
# empty rows out of the batch.
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

torch.manual_seed(0)
layer = nn.MultiheadAttention(embed_dim=4, num_heads=2, batch_first=True)
nn.init.constant_(layer.out_proj.bias, 0.5)
rows = torch.randn(2, 3, 4)
mask = torch.tensor([[False, False, True], [True, True, True]])  # the second sequence is empty

seen = {}
for need in (False, True):
    layer.train()
    layer.zero_grad()
    out, _ = layer(rows, rows, rows, key_padding_mask=mask, need_weights=need)
    out[0].square().sum().backward()  # the empty sequence is not in the loss
    seen["train", need] = (out[1].unique().tolist(), bool(layer.in_proj_weight.grad.isnan().any()))
    layer.eval()
    with torch.no_grad():
        out, _ = layer(rows, rows, rows, key_padding_mask=mask, need_weights=need)
    seen["eval", need] = (out[1].unique().tolist(), None)
for (mode, need), (values, spoilt) in seen.items():
    told = "" if spoilt is None else f"; gradient of shared weights NaN: {spoilt}"
    print(f"{mode}, need_weights={need}: empty row {set(map(str, values))}{told}")

nan = {key: all(value != value for value in values) for key, (values, _) in seen.items()}
spoilt = {need: seen["train", need][1] for need in (False, True)}
finite = [key for key in nan if not nan[key]]
if finite != [("train", False)] or seen["train", False][0] != [0.5] or spoilt != {False: False, True: True}:
    raise SystemExit(f"CHANGED: {seen}")
print("AS STATED: the empty row is finite in training and NaN in evaluation")
EOF

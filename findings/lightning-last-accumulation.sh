#!/usr/bin/env bash
# pytorch-lightning 2.6.6: with accumulate_grad_batches the last group of an
# epoch takes a smaller step.
#
# Expected: with accumulate_grad_batches=4 each step uses the mean gradient of
# the batches that were accumulated for it.
# What happens: every loss is divided by 4. An epoch of 10 batches ends with a
# group of 2, which is stepped with 2/4 of its mean gradient. No warning is
# raised. Every row of that group counts half in each epoch.
# Why it matters: the same number of rows in other batches is another training.
# With few groups in an epoch the effect is large: 5 batches with 4 accumulated
# make the last step a quarter of what it should be. Clipping and norms in a
# log see the small gradient too.
# What to do: choose a number of batches that is a multiple, drop the rest, or
# scale gradients by 4 / 2 in on_before_optimizer_step for the last group.
# Seen with: pytorch-lightning 2.6.6, torch 2.13.0, Python 3.11.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install -qq --disable-pip-version-check torch==2.13.0 pytorch-lightning==2.6.6
env/bin/python -W ignore - 2> log <<'EOF' || { cat log >&2; exit 1; }
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader


class Slope(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.gradients = []

    def training_step(self, batch, at):
        return (self.weight * batch).mean()  # every batch of ones has the gradient 1

    def on_before_optimizer_step(self, optimizer):
        self.gradients.append(self.weight.grad.item())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


seen = {}
for batches in (8, 10, 5):
    model = Slope()
    trainer = pl.Trainer(
        max_epochs=1, accumulate_grad_batches=4, accelerator="cpu", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(torch.ones(batches * 2), batch_size=2))
    seen[batches] = model.gradients
    print(f"{batches} batches: gradients of the steps {model.gradients}, each batch alone 1.0")

if seen != {8: [1.0, 1.0], 10: [1.0, 1.0, 0.5], 5: [1.0, 0.25]}:
    raise SystemExit(f"CHANGED: {seen}")
print("AS STATED: the last, smaller group is divided by the full number")
EOF

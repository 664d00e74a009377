#!/usr/bin/env bash
# pytorch-lightning 2.6.6: with two optimizers max_steps ends training after
# half the batches.
#
# Expected: max_steps=6 with manual optimization takes 6 training steps, that
# is 6 batches.
# What happens: global_step counts every step of every optimizer. A GAN with
# two of them stops after 3 batches. With one step of the generator for every
# three of the critic the number of batches depends on that ratio.
# Why it matters: of two models compared by equal max_steps one gets only half
# of the training. Schedules, logged steps and names of checkpoints that use
# global_step run ahead of the batches as well.
# What to do: multiply max_steps by the optimizer steps per batch, or bound the
# run by limit_train_batches and max_epochs, and count batches oneself.
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


class Pair(pl.LightningModule):
    def __init__(self, every):
        super().__init__()
        self.automatic_optimization = False
        self.first, self.second = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
        self.every = every  # the second optimizer steps once in so many batches
        self.batches = 0

    def training_step(self, batch, at):
        self.batches += 1
        first, second = self.optimizers()
        for optimizer, part, due in ((first, self.first, True), (second, self.second, at % self.every == 0)):
            if due:
                optimizer.zero_grad()
                self.manual_backward(part(batch).sum())
                optimizer.step()

    def configure_optimizers(self):
        return [torch.optim.SGD(part.parameters(), lr=0.1) for part in (self.first, self.second)]


seen = {}
for every in (1, 2, 100):
    model = Pair(every)
    trainer = pl.Trainer(
        max_steps=6, max_epochs=1, accelerator="cpu", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(torch.ones(20, 1), batch_size=1))
    seen[every] = (model.batches, trainer.global_step)
    print(f"second optimizer every {every} batches: {model.batches} batches, global_step {trainer.global_step}")

if seen != {1: (3, 6), 2: (4, 6), 100: (5, 6)}:
    raise SystemExit(f"CHANGED: {seen}")
print("AS STATED: max_steps counts the steps of all optimizers together")
EOF

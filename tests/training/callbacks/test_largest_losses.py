import math
from types import SimpleNamespace

import torch

from millstream.training.callbacks.largest_losses import MOST, HardRow, LargestLosses
from millstream.training.distributed.ranks import Ranks
from tests.training.tasks.made import batch


class Feed:
    def own_sample_ids(self, epoch, index):
        return [f"{index}-{at}" for at in range(8)]


class Task:
    def row_values(self, output, batch):
        return {"predicted": output[batch.mask_B].tolist()}


def kept(losses_by_batch, masked=0):
    callback, trainer = LargestLosses(), SimpleNamespace(test_dataloaders=Feed())
    for at, losses in enumerate(losses_by_batch):
        given = batch(torch.zeros(8 + masked, 1), real=8)._replace(index=at)
        # a masked slot has the largest loss
        loss_B = torch.tensor(losses + [1e9] * masked)
        callback.on_test_batch_end(trainer, Task(), {"loss": loss_B, "output": -loss_B}, given)
    return callback.of_all(Ranks())


def test_the_rows_of_all_batches_with_the_largest_loss_are_kept_in_order():
    losses = torch.rand(9, 8, generator=torch.Generator().manual_seed(0)).tolist()
    expected = sorted(((loss, f"{at}-{row}") for at, part in enumerate(losses) for row, loss in enumerate(part)))[::-1]
    found = kept(losses, masked=2)
    assert [(row.loss, row.sample_id) for row in found] == expected[:MOST]
    assert all(row.values == {"predicted": -row.loss} for row in found)


def test_a_loss_that_is_no_number_is_the_largest():
    first, second, *_ = kept([[1.0] * 7 + [math.nan], [2.0] * 8])
    assert math.isnan(first.loss)
    assert second == HardRow("1-0", 2.0, {"predicted": -2.0})

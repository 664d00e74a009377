"""The test rows with the largest loss, for a reviewer to look at."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

import pytorch_lightning as lightning

from millstream.training.distributed.ranks import Ranks
from millstream.training.tensors import as_numpy

MOST = 20


class HardRow(NamedTuple):
    sample_id: str
    loss: float
    values: dict[str, Any]
    """`Task.row_values` of the row."""

    @property
    def order(self) -> tuple[float, str]:
        return (-math.inf if math.isnan(self.loss) else -self.loss, self.sample_id)


class LargestLosses(lightning.Callback):
    """Keeps the `MOST` rows with the largest loss; none for a task that is not tested on rows."""

    def __init__(self) -> None:
        self.rows: list[HardRow] = []

    def on_test_batch_end(self, trainer: lightning.Trainer, task: Any, outputs: Any, batch: Any, *rest: Any) -> None:
        if outputs is None:
            return
        losses = as_numpy(outputs["loss"][batch.mask_B]).tolist()
        least = -self.rows[-1].order[0] if len(self.rows) == MOST else -math.inf
        if not any(math.isnan(loss) or loss >= least for loss in losses):
            return  # as in most batches
        feed: Any = trainer.test_dataloaders
        values = task.row_values(outputs["output"], batch)
        found = [
            HardRow(name, loss, {key: column[at] for key, column in values.items()})
            for at, (name, loss) in enumerate(zip(feed.own_sample_ids(batch.epoch, batch.index), losses, strict=True))
        ]
        self.rows = _largest([*self.rows, *found])

    def of_all(self, place: Ranks) -> list[HardRow]:
        """Those of all ranks, largest loss first; every rank calls it."""
        return _largest([HardRow(*row) for part in place.gather(json.dumps(self.rows)) for row in json.loads(part)])


def _largest(rows: list[HardRow]) -> list[HardRow]:
    return sorted(rows, key=lambda row: row.order)[:MOST]

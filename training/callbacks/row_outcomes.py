"""Per-row test outcomes of a model, for paired comparison with others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_lightning as lightning
from numpy.typing import NDArray

from millstream.training.tensors import as_numpy


class RowOutcomes(lightning.Callback):
    """Collects outcomes with sample ids; stays empty for a task that is not tested on rows."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.parts: dict[str, list[NDArray[Any]]] = {}

    def on_test_batch_end(self, trainer: lightning.Trainer, task: Any, outputs: Any, batch: Any, *rest: Any) -> None:
        if outputs is None:
            return
        feed: Any = trainer.test_dataloaders
        self.ids += feed.sample_ids(batch.epoch, batch.index)
        found = {"loss": outputs["loss"][batch.mask_B], **task.outcomes(outputs["output"], batch)}
        for name, values_b in found.items():
            self.parts.setdefault(name, []).append(as_numpy(values_b))

    def sorted(self) -> dict[str, NDArray[Any]]:
        """Values (N,) by name, in the order of sample ids: independent of the batch size."""
        order = np.argsort(np.array(self.ids), kind="stable")
        return {name: np.concatenate(parts)[order] for name, parts in self.parts.items()}

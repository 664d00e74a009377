"""Changes train batches on the fly, as the dataset's `augment` steps with `where: feed` say.

The parameters follow from (seed, epoch, sample_id) alone, so that neither ranks nor engine nor memory show in them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tracking.augmentations import image, series
from tracking.augmentations.op import Drawn, Op, drawn, through
from tracking.faults import BadData
from tracking.manifest import Manifest, Step
from training.feed.epoch import Epoch
from training.feed.order import NO_ROW
from training.feed.shards import Shards
from training.feed.windows import Window

CHANGES: dict[str, dict[str, Op]] = {"image": image.CHANGES, "series": series.CHANGES}
"""What can be changed here: texts are tokens by now."""


@dataclass(frozen=True)
class Change:
    """One step of the manifest; the numbers are places in the tuple of a batch's blocks."""

    modality: str
    ops: tuple[tuple[str, float], ...]
    at: int
    masks: tuple[int, ...]
    boxes: int | None

    @classmethod
    def of(cls, step: Step, places: dict[str, int]) -> Self | None:
        """None when nobody reads the column. Raises BadData when the feed cannot change it, as `prepare` did."""
        kind, config = str(step.learned.get("modality")), step.config
        if kind not in CHANGES:
            told = f"{step.learned.get('column')!r} is {kind}; the feed changes images and series alone"
            raise BadData.at("step augment", f"{told}, prepare it again with `where: spark`")
        if step.learned["column"] not in places:
            return None
        ops = tuple((name, strength) for op in config["ops"] for name, strength in op.items())
        masks = tuple(places[name] for name in config["masks"] if name in places)
        return cls(kind, ops, places[step.learned["column"]], masks, places.get(config["boxes"]))

    def draw(self, *keys: object) -> Drawn:
        return drawn(CHANGES[self.modality], self.ops, *keys)

    def apply(self, row: list[NDArray[Any]], ops: Drawn) -> dict[int, NDArray[Any]]:
        """The changed blocks of one sample, by place."""
        if self.modality == "series":
            # a series of one channel may be kept as (T,)
            held = row[self.at]
            changed = through(series.CHANGES, held.reshape(len(held), -1), ops)
            return {self.at: changed.reshape(held.shape)}
        own_boxes = None if self.boxes is None else row[self.boxes]
        changed, masks, boxes = image.along(row[self.at], ops, [row[at] for at in self.masks], own_boxes)
        found = {self.at: changed, **dict(zip(self.masks, masks, strict=True))}
        return found if self.boxes is None or boxes is None else found | {self.boxes: boxes}

    @property
    def places(self) -> tuple[int, ...]:
        return (self.at, *self.masks, *(() if self.boxes is None else (self.boxes,)))


@dataclass(frozen=True)
class Augmented:
    """The windows of a feed with every sample changed."""

    shards: Shards
    seed: int
    changes: tuple[Change, ...]

    @classmethod
    def of(cls, shards: Shards, manifest: Manifest, seed: int) -> Self | None:
        """None for a dataset that asks for nothing here. Raises BadData as `Change.of` does."""
        places = {block.first.name: at for at, block in enumerate(shards.blocks) if block.first.layout == "tensor"}
        steps = [step for step in manifest.steps if step.name == "augment" and step.config.get("where") == "feed"]
        changes = tuple(change for step in steps if (change := Change.of(step, places)) is not None)
        return cls(shards, seed, changes) if changes else None

    def windows(self, windows: Generator[Window, None, None], epoch: Epoch) -> Generator[Window, None, None]:
        """The same windows, whose batches are changed when they are asked for; sample ids are read window by window."""
        with closing(windows):
            for window in windows:
                is_sample = window.slots != NO_ROW
                ids = np.full(window.slots.shape, None, object)
                ids[is_sample] = self.shards.sample_ids(epoch.samples, window.slots[is_sample])
                yield window._replace(stored=partial(self._stored, window.stored, ids, epoch.plan.epoch))

    def _stored(
        self, stored: Callable[[slice], tuple[Tensor, ...]], ids: NDArray[Any], epoch: int, some: slice
    ) -> tuple[Tensor, ...]:
        blocks = list(stored(some))
        for number, change in enumerate(self.changes):
            for at in change.places:
                # what is held or buffered stays as it is stored
                blocks[at] = blocks[at].clone()
            arrays = [block.numpy() for block in blocks]
            for slot, sample_id in enumerate(ids[some].ravel()):
                if sample_id is None:
                    continue
                ops = change.draw(self.seed, "augment in feed", epoch, sample_id, number)
                for at, changed in change.apply([array[slot] for array in arrays], ops).items():
                    arrays[at][slot] = changed
        return tuple(blocks)

"""Augments train batches on the fly, for the dataset's `augment` and `mixup` steps with `where: feed`.

Random parameters depend on (seed, epoch, sample_id) alone, not on ranks, engine or memory.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from millstream.tracking.augmentations.op import drawn
from millstream.tracking.dataset.manifest import Manifest
from millstream.training.feed.augment.contract import Layer, Slots
from millstream.training.feed.augment.mixup import mixing_of
from millstream.training.feed.augment.per_sample import Change, Sample, change_of
from millstream.training.feed.plan.batch_order import NO_ROW, Rows
from millstream.training.feed.plan.epoch import Epoch
from millstream.training.feed.read.shards import Shards
from millstream.training.feed.read.windows import Stored, Window


@dataclass(frozen=True)
class Changing:
    """Augments each sample by itself. `number`, the index among the layers, makes layers with equal ops differ."""

    change: Change
    strengths: tuple[tuple[str, float], ...]
    number: int

    @property
    def text(self) -> str | None:
        return self.change.text

    def over(self, stored: Stored, slots: Slots) -> Stored:
        texts = slots.texts[self.text] if self.text is not None else None

        def changed(some: slice | Rows) -> tuple[Tensor, ...]:
            blocks = list(stored(some))
            for at in self.change.places:
                # a copy: cached or buffered samples must not change
                blocks[at] = blocks[at].clone()
            arrays = [block.numpy() for block in blocks]
            own_texts = texts[some] if texts is not None else None
            for slot, sample_id in enumerate(slots.ids_S[some]):
                if sample_id is None:
                    continue
                keys = (slots.seed, "augment in feed", slots.epoch, sample_id, self.number)
                sample = Sample([array[slot] for array in arrays], "" if own_texts is None else own_texts[slot])
                done = drawn(self.change.ops, self.strengths, *keys)
                for at, own in self.change.apply(sample, done).items():
                    arrays[at][slot] = own
            return tuple(blocks)

        return changed


@dataclass(frozen=True)
class Augmented:
    """Applies the layers to the windows of a feed."""

    shards: Shards
    seed: int
    layers: tuple[Layer, ...]

    @classmethod
    def of(cls, shards: Shards, manifest: Manifest, seed: int) -> Self | None:
        """None for a dataset without augmentation in the feed. Raises BadData where mixup cannot interpolate."""
        layers: list[Layer] = []
        for at, step in enumerate(manifest.steps):
            if step.name not in ("augment", "mixup") or step.config.get("where") != "feed":
                continue
            if step.name == "mixup":
                layers.append(mixing_of(step, shards.blocks, len(layers)))
            elif (change := change_of(step, manifest.steps[at + 1 :], shards.blocks)) is not None:
                strengths = tuple((name, strength) for op in step.config["ops"] for name, strength in op.items())
                layers.append(Changing(change, strengths, len(layers)))
        return cls(shards, seed, tuple(layers)) if layers else None

    def windows(self, windows: Generator[Window, None, None], epoch: Epoch) -> Generator[Window, None, None]:
        """The windows with samples augmented on access; ids and texts are read once per window."""
        with closing(windows):
            for window in windows:
                slots, stored = self._slots(window, epoch), window.stored
                for layer in self.layers:
                    stored = layer.over(stored, slots)
                yield window._replace(stored=stored)

    def _slots(self, window: Window, epoch: Epoch) -> Slots:
        flat_S = window.slots.reshape(-1)
        is_sample = flat_S != NO_ROW
        rows, _ = epoch.samples.places(flat_S[is_sample])

        def spread(values: list[str]) -> NDArray[Any]:
            found = np.full(len(flat_S), None, object)
            found[is_sample] = values
            return found

        ids_S = spread(self.shards.sample_ids(epoch.samples, flat_S[is_sample]))
        names = {layer.text for layer in self.layers if layer.text is not None}
        texts = {name: spread(self.shards.texts(name, rows.tolist())) for name in sorted(names)}
        per_lane = window.slots.shape[1] // len(epoch.lanes)
        lanes_S = np.arange(len(flat_S)) % window.slots.shape[1] // per_lane
        return Slots(ids_S, lanes_S, texts, self.seed, epoch.plan.epoch)

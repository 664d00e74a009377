"""Augmentation of one sample for an `augment` step with `where: feed`, by the modality of its column.

The ops are those of the preparation. Integers are indices into the tuple of a batch's blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from millstream.tracking.augmentations import image, series, table, text
from millstream.tracking.augmentations.op import Drawn, Op, as_dtype, through
from millstream.tracking.dataset.records import Step
from millstream.tracking.serving.tokenizer import Reader, learned_of
from millstream.training.feed.read.columns import Block

Arrays = dict[int, NDArray[Any]]
Places = Mapping[str, int]


class Sample(NamedTuple):
    """One stored sample."""

    blocks: Sequence[NDArray[Any]]
    text: str = ""
    """The text of its tokens, where the change reads it."""


class Change(Protocol):
    """Augmentation of one column and those that depend on it (masks, boxes, lengths)."""

    @property
    def ops(self) -> Mapping[str, Op]: ...

    @property
    def places(self) -> tuple[int, ...]:
        """The blocks that are written."""
        ...

    @property
    def text(self) -> str | None:
        """The text column that is read in addition to the blocks, if any."""
        ...

    def apply(self, sample: Sample, done: Drawn) -> Arrays:
        """The changed blocks of one sample, by index."""
        ...


@dataclass(frozen=True)
class Image:
    at: int
    masks: tuple[int, ...]
    boxes: int | None
    ops: Mapping[str, Op]
    text: None = None

    @property
    def places(self) -> tuple[int, ...]:
        return (self.at, *self.masks, *(() if self.boxes is None else (self.boxes,)))

    def apply(self, sample: Sample, done: Drawn) -> Arrays:
        row = sample.blocks
        own_boxes = None if self.boxes is None else row[self.boxes]
        changed, masks, boxes = image.along(row[self.at], done, [row[at] for at in self.masks], own_boxes)
        found = {self.at: changed, **dict(zip(self.masks, masks, strict=True))}
        return found if self.boxes is None or boxes is None else found | {self.boxes: boxes}


@dataclass(frozen=True)
class Series:
    at: int
    ops: Mapping[str, Op]
    text: None = None

    @property
    def places(self) -> tuple[int, ...]:
        return (self.at,)

    def apply(self, sample: Sample, done: Drawn) -> Arrays:
        # a series of one channel may be stored as (T,)
        held = sample.blocks[self.at]
        return {self.at: through(self.ops, held.reshape(len(held), -1), done).reshape(held.shape)}


class Held(NamedTuple):
    """The table columns in a block: their indices in the block and in the table's row, and which are integers."""

    inside: list[int]
    in_row: list[int]
    is_whole: NDArray[np.bool_]


@dataclass(frozen=True)
class Numbers:
    """Augments all numbers of a table, so that draws do not depend on which the network reads. Axis: D numbers."""

    held: Mapping[int, Held]
    size: int
    ops: Mapping[str, Op]
    text: None = None

    @property
    def places(self) -> tuple[int, ...]:
        return tuple(self.held)

    def apply(self, sample: Sample, done: Drawn) -> Arrays:
        row_D = np.zeros(self.size)
        for at, held in self.held.items():
            row_D[held.in_row] = sample.blocks[at].reshape(-1)[held.inside]
        changed_D = through(self.ops, row_D, done)
        return {at: _written(sample.blocks[at], held, changed_D[held.in_row]) for at, held in self.held.items()}


@dataclass(frozen=True)
class Text:
    """Augments a text and tokenizes it again, truncated to the dataset's longest text. Axis: T tokens."""

    at: int
    lengths: int
    reader: Reader
    ops: Mapping[str, Op]
    text: str

    @property
    def places(self) -> tuple[int, ...]:
        return (self.at, self.lengths)

    def apply(self, sample: Sample, done: Drawn) -> Arrays:
        numbers = self.reader.numbers(through(self.ops, sample.text, done))
        tokens_T = np.zeros_like(sample.blocks[self.at])
        tokens_T[: len(numbers)] = numbers
        return {self.at: tokens_T, self.lengths: np.asarray(len(numbers))}


def change_of(step: Step, behind: Sequence[Step], blocks: Sequence[Block]) -> Change | None:
    """The change of a step, given the steps after it (`behind`); None where the network does not read its column."""
    config, learned = step.config, step.learned
    name, kind = str(learned["column"]), learned["modality"]
    if kind == "table":
        return _numbers(learned["deviations"], blocks)
    if kind == "text":
        return _text(name, config["synonyms"], behind, blocks)
    tensors = {block.first.name: at for at, block in enumerate(blocks) if block.first.layout == "tensor"}
    if name not in tensors:
        return None
    if kind == "series":
        return Series(tensors[name], series.CHANGES)
    masks = tuple(tensors[mask] for mask in config["masks"] if mask in tensors)
    return Image(tensors[name], masks, tensors.get(config["boxes"]), image.CHANGES)


def _numbers(deviations: Mapping[str, float], blocks: Sequence[Block]) -> Numbers | None:
    # sorted, since members of a JSON object have no order
    row = {name: at for at, name in enumerate(sorted(deviations))}
    found = {}
    for at, block in enumerate(blocks):
        if block.role != "input" or block.first.layout != "scalar":
            continue
        known = [(inside, column) for inside, column in enumerate(block.field.columns) if column.name in row]
        if known:
            is_whole = np.array([np.dtype(column.dtype).kind in "iu" for _, column in known])
            found[at] = Held([inside for inside, _ in known], [row[column.name] for _, column in known], is_whole)
    changes = table.changes(np.array([deviations[name] for name in row]))
    return Numbers(found, len(row), changes) if found else None


def _written(block: NDArray[Any], held: Held, values: NDArray[np.float64]) -> NDArray[Any]:
    """A copy of the block with `values` written into it."""
    changed = block.copy().reshape(-1)
    changed[held.inside] = as_dtype(np.where(held.is_whole, np.rint(values), values), block.dtype)
    return changed.reshape(block.shape)


def _text(
    name: str, synonyms: Mapping[str, Sequence[str]], behind: Sequence[Step], blocks: Sequence[Block]
) -> Text | None:
    learned = learned_of(name, behind)
    if learned is None:
        return None
    at = next((at for at, block in enumerate(blocks) if block.first.name == learned["to"]), None)
    if at is None:
        return None
    reader = Reader.of({**learned, "longest": min(learned["longest"], blocks[at].shape[0])})
    return Text(at, at + 1, reader, text.changes(synonyms), name)

"""A dataset as the step `window` publishes it: stretches of several entities, in blocks whose rows are mixed up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.tracking.dataset.records import Column, Step
from millstream.tracking.dataset.version import Dataset
from millstream.training.feed.feed import Feed
from millstream.training.feed.plan.config import Reading
from tests.datasets import make_dataset

LOOK_BACK, HORIZON, BLOCK, CHANNELS = 4, 1, 8, 2
LONGEST = BLOCK + LOOK_BACK + HORIZON - 1
GAP = 2
"""Time steps without values between two stretches of an entity."""
STRETCHES: Mapping[str, Sequence[int]] = {"b": (41, 9), "a": (13, 12, 30), "c": (5,)}
"""Lengths in time steps; one of 8 + 4 fills its block, and ends with it."""


def series(seed: int = 0) -> dict[str, list[NDArray[np.float32]]]:
    """The values of each stretch, (steps, channels)."""
    draw = np.random.default_rng(seed)
    return {
        entity: [draw.normal(size=(length, CHANNELS)).astype(np.float32) for length in lengths]
        for entity, lengths in STRETCHES.items()
    }


def windows(stretch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The windows of a stretch in the order of time, each (look back + horizon, channels)."""
    steps = LOOK_BACK + HORIZON
    return [stretch[start : start + steps] for start in range(0, len(stretch) - steps + 1, LOOK_BACK)]


def make_series(folder: Path, *, stride: int = LOOK_BACK, time: Any = lambda step: f"{step}", **splits: int) -> Dataset:
    """`splits` are the seeds of their values and order; by default `train` of seed 0."""
    held = {split: _rows(seed, time) for split, seed in (splits or {"train": 0}).items()}
    columns = (
        Column(
            name="series",
            dtype="float32",
            layout="tensor",
            shape=(LONGEST, CHANNELS),
            axes="TC",
            role="input",
            meaning="series",
        ),
        Column(name="length", dtype="int32", role="key", meaning="number"),
        *(Column(name=name, dtype="string", role="key", meaning="text") for name in ("time", "entity")),
    )
    learned = {"look_back": LOOK_BACK, "horizon": HORIZON, "stride": stride, "block": BLOCK, "spacing": 1.0}
    config = {"time": "time", "entity": "entity"}
    step = Step(name="window", version=1, config=config, learned=learned, rows_in=1, rows_out=1, seconds=0.0)
    return make_dataset(folder, held, columns, shard_rows=5, steps=(step,))


def series_feed(dataset: Dataset, *, rank: int = 0, ranks: int = 1, shuffle: bool = True, **options: Any) -> Feed:
    reading = Reading(**{"seed": 7, "batch_size": 4, "engine": "arrow", "order": "contiguous"} | options)
    signature = dataset.manifest.signature("series")
    return Feed(dataset, "train", signature, reading, rank=rank, ranks=ranks, shuffle=shuffle)


def _rows(seed: int, time: Any) -> dict[str, list[Any]]:
    blocks = []
    for entity, stretches in series(seed).items():
        start = 0
        for stretch in stretches:
            for at in range(0, len(stretch) - LOOK_BACK - HORIZON + 1, BLOCK):
                part = stretch[at : at + LONGEST]
                padded = np.zeros((LONGEST, CHANNELS), np.float32)
                padded[: len(part)] = part
                blocks.append((padded, len(part), time(start + at), entity))
            start += len(stretch) + GAP
    mixed = np.random.default_rng(seed).permutation(len(blocks))
    names = ("series", "length", "time", "entity")
    return {name: [blocks[at][place] for at in mixed] for place, name in enumerate(names)}

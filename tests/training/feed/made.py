"""A small data set with a column of every kind, as plain arrays and as a dataset version."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from millstream.tracking.dataset.records import Affine, Column
from millstream.tracking.dataset.version import Dataset
from millstream.training.feed.feed import Feed
from millstream.training.feed.plan.config import MIB, Reading
from tests.datasets import make_dataset

IMAGE_MAP, TARGET_MAP = Affine(offset=3.0, factor=1 / 255), Affine(offset=1.5, factor=0.3)
COLUMNS = (
    Column(
        name="image",
        dtype="uint8",
        layout="tensor",
        shape=(1, 3, 4),
        axes="CHW",
        role="input",
        meaning="image",
        affine=IMAGE_MAP,
    ),
    Column(name="mood", dtype="float32", layout="tensor", shape=(2,), role="input", meaning="vector"),
    Column(name="width", dtype="float32", role="input", meaning="number"),
    Column(name="count", dtype="int64", role="input", meaning="number"),
    Column(name="colour", dtype="int64", role="input", meaning="category", classes=("red", "blue")),
    Column(
        name="tokens",
        dtype="int64",
        layout="list",
        shape=(9,),
        role="input",
        meaning="tokens",
        vocabulary=tuple("_?abcd"),
    ),
    Column(name="text", dtype="string", role="input", meaning="text"),
    Column(name="price", dtype="float64", role="target", meaning="number", affine=TARGET_MAP),
    Column(name="share", dtype="float64", role="weight", meaning="number"),
)
SMALL_WINDOW = 40 * 160 / MIB
ENGINES = [
    "arrow",
    pytest.param(
        "petastorm",
        marks=pytest.mark.skipif(not importlib.util.find_spec("petastorm"), reason="petastorm is of the default stack"),
    ),
]


def values(rows: int, seed: int = 0) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    return {
        "image": draw.integers(0, 256, (rows, 1, 3, 4), dtype=np.uint8),
        "mood": draw.normal(size=(rows, 2)).astype(np.float32),
        "width": draw.normal(size=rows).astype(np.float32),
        "count": draw.integers(-9, 9, rows),
        "colour": draw.integers(0, 2, rows),
        "tokens": [draw.integers(1, 6, draw.integers(0, 10)) for _ in range(rows)],
        "text": [f"text {row}" for row in range(rows)],
        "price": draw.normal(size=rows),
        "share": draw.random(rows),
    }


def made(folder: Path, rows: int, **options: Any) -> tuple[Dataset, dict[str, Any]]:
    held = values(rows)
    return make_dataset(folder, {"train": held}, COLUMNS, **options), held


def feed(dataset: Dataset, *, rank: int = 0, ranks: int = 1, shuffle: bool = True, **options: Any) -> Feed:
    """A feed whose window holds few rows (160 bytes each), so that small splits have several windows."""
    defaults: dict[str, Any] = {"seed": 7, "batch_size": 16, "window_mib": SMALL_WINDOW, "engine": "arrow"}
    signature = dataset.manifest.signature("price")
    reading = Reading(**(defaults | options))
    return Feed(dataset, "train", signature, reading, rank=rank, ranks=ranks, shuffle=shuffle)


def values_of(batch):
    """All tensors of a batch one after the other: inputs, a ragged one as its values and lengths, then targets."""
    found = []
    batch.map(lambda tensor: found.append(tensor) or tensor)
    return found[:-2]

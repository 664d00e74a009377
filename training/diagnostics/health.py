"""Health checks for training: torch, GPU, the feed's engines."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator

import torch

from millstream.tracking.dataset.version import Dataset
from millstream.tracking.health import Check
from millstream.training.assembly.build import Parts
from millstream.training.diagnostics.feed_bottleneck import limits


def checks() -> Iterator[Check]:
    yield Check(name="torch", ok=True, found=f"{torch.__version__}, {torch.get_num_threads()} threads")
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none; training runs on the processor"
    yield Check(name="gpu", ok=True, found=gpu)
    engines = "petastorm and arrow" if importlib.util.find_spec("petastorm") else "arrow (petastorm is not installed)"
    yield Check(name="feed", ok=True, found=engines)


def feed_checks(dataset: Dataset, parts: Parts, say: Callable[[str], None]) -> Iterator[Check]:
    """Throughput of each stage between disk and weights by itself, with advice for the slowest."""
    for part in limits(dataset, parts, parts.fit, say):
        message = f"{part.rows_per_s:,.0f} rows/s" + (f" on {part.seen}" if part.seen else "")
        message += ": the limit" if part.is_limit else ""
        yield Check(name=f"feed: {part.name}", ok=True, found=message, mend=part.advice if part.is_limit else "")

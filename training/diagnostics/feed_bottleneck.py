"""Finds the bottleneck between disk and weights: each stage is timed by itself, over a part of an epoch."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from pydantic import BaseModel

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.dataset.version import Dataset
from millstream.training.assembly.build import Parts
from millstream.training.estimator_module import EstimatorModule
from millstream.training.feed.batch import Batch
from millstream.training.feed.feed import Feed
from millstream.training.feed.plan.config import Reading
from millstream.training.task import Task

LONGEST_S = 2.0
"""Measuring time per stage, without warm-up."""

ADVICE = {
    "reading": "put the store on a faster disk, or let the split be held: fit.memory: cached",
    "decoding": "use fit.engine: arrow, or let the split be held: fit.memory: cached",
    "making batches": "a larger fit.batch_size costs less a row",
    "augmenting": "prepare the changed rows once: `where: spark`",
    "copying": "a larger fit.batch_size moves more at a time",
    "the model": "the feed keeps up; a faster device, a smaller network or more processes would help",
}


class Part(BaseModel, frozen=True):
    """One stage and its throughput by itself."""

    name: str
    rows_per_s: float
    is_limit: bool = False
    seen: str = ""
    """The part of the split that was measured, if not all of it."""

    @property
    def advice(self) -> str:
        return ADVICE[self.name]


def limits(dataset: Dataset, parts: Parts, reading: Reading, say: Callable[[str], None]) -> list[Part]:
    """The stages in pipeline order, with the slowest marked.

    A cached split is read and decoded once per run, which then is no bottleneck; of a streamed split, no more than one
    window is held in memory here.
    """
    signature = parts.signature(dataset.manifest)
    feed = Feed(dataset, "train", signature, reading)
    found: dict[str, float] = {}
    say("reading and decoding")
    found["reading"] = _rate(_read(feed))
    found["decoding"] = _without(_rate(_decoded(feed)), found["reading"])
    is_held = feed.memory == "cached"
    say("making batches")
    held, seen = (feed, "") if is_held else _part(feed, signature, reading)
    plain = held.unchanged()
    found["making batches"] = _rate(_batches(plain))
    if held.is_augmented:
        say("augmenting")
        found["augmenting"] = _without(_rate(_batches(held)), found["making batches"])
    batch = next(iter(plain))
    if torch.cuda.is_available():
        found["copying"] = _rate(_copied(batch))
    task = parts.build(signature)
    if not isinstance(task.network, EstimatorModule):
        say("the model")
        found["the model"] = _rate(_steps(task, batch))
    limiting = {name: rate for name, rate in found.items() if not (is_held and name in ("reading", "decoding"))}
    slowest = min(limiting, key=lambda name: limiting[name])
    of_part = {"making batches": seen, "augmenting": seen}
    return [
        Part(name=name, rows_per_s=round(rate, 1), is_limit=name == slowest, seen=of_part.get(name, ""))
        for name, rate in found.items()
    ]


def _part(feed: Feed, signature: Signature, reading: Reading) -> tuple[Feed, str]:
    """A cached feed of the split's first shards, as many as a window and at least a full batch; and a label of them.

    It needs less memory than the recipe's streaming, which fills two windows in turn.
    """
    dataset, shards = feed.dataset, feed.shards
    upto = np.cumsum(shards.rows)
    window_rows = reading.window_bytes * upto[-1] / max(1, shards.held_bytes)
    many = max(np.searchsorted(upto, window_rows, side="right"), np.searchsorted(upto, reading.batch_size) + 1)
    some = shards.all[: int(many)]
    train = dataset.manifest.splits["train"].model_copy(update={"shards": some, "rows": sum(one.rows for one in some)})
    manifest = dataset.manifest.model_copy(update={"splits": {**dataset.manifest.splits, "train": train}})
    seen = "" if len(some) == len(shards.all) else f"{len(some)} of {len(shards.all)} shards"
    cached = reading.model_copy(update={"memory": "cached"})
    return Feed(replace(dataset, manifest=manifest), "train", signature, cached), seen


def _rate(rows: Iterator[int]) -> float:
    """Rows per second of an iterator that yields row counts, without its first item."""
    next(rows)
    began, done = time.perf_counter(), 0
    for count in rows:
        done += count
        if time.perf_counter() - began > LONGEST_S:
            break
    return done / max(1e-9, time.perf_counter() - began)


def _without(rate: float, first: float) -> float:
    """The rate of the second of two consecutive stages, from their joint rate `rate` and the first's rate `first`."""
    return 1 / max(1e-12, 1 / rate - 1 / first) if rate < first else float("inf")


def _read(feed: Feed) -> Iterator[int]:
    for number in itertools.cycle(range(len(feed.shards.all))):
        with feed.shards.lent(number) as path:
            path.read_bytes()
        yield feed.shards.rows[number]


def _decoded(feed: Feed) -> Iterator[int]:
    while True:
        for piece in feed.read(feed.shards, range(len(feed.shards.all))):
            yield feed.shards.rows[piece.shard]


def _batches(feed: Feed) -> Iterator[int]:
    while True:
        for batch in feed:
            yield len(batch.mask_B)


def _copied(batch: Batch) -> Iterator[int]:
    while True:
        batch.to(torch.device("cuda"))
        torch.cuda.synchronize()
        yield len(batch.mask_B)


def _steps(task: Task, batch: Batch) -> Iterator[int]:
    """Forward and backward passes over one batch, without the optimizer."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    task.to(device).train()
    moved = batch.to(torch.device(device))
    while True:
        task.mean(moved).backward()  # type: ignore[no-untyped-call]
        task.zero_grad()
        yield len(batch.mask_B)

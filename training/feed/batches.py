"""Yields a split's batches in the planned order, for one rank: the same rows in the same slots, however they are read.

`cached`: the split is decoded once and indexed by the plan. `streamed`: the shards of a window are read, and each row
is put where the plan wants it, so that it does not matter in which order shards arrive.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from tracking import parts
from tracking.dataset import Dataset
from tracking.faults import BadData
from tracking.manifest import Signature
from training.feed import decode
from training.feed.batch import Batch
from training.feed.decode import Arrays
from training.feed.order import EMPTY, Plan, lanes_for, lanes_of, shards_in

WINDOW_BYTES = 256 << 20
CACHE_BYTES = 2 << 30
REFUSED_KEY = b"dataset-toolkit."


@dataclass
class Statistics:
    """What reading cost in the epoch that runs or ran last."""

    rows: int = 0
    wait_s: float = 0.0


def default_engine() -> str:
    """petastorm where it is installed, else arrow."""
    return "petastorm" if importlib.util.find_spec("petastorm") else "arrow"


class Feed:
    """A plain iterable of `Batch` for Lightning: exact length, lazy, and with a state that names no rank.

    Raises BadData for an empty split, WrongRecipe when batch, lanes and ranks do not divide.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        signature: Signature,
        *,
        seed: int,
        batch_size: int,
        lanes: int | None = None,
        window_bytes: int = WINDOW_BYTES,
        engine: str | None = None,
        memory: str = "auto",
        rank: int = 0,
        ranks: int = 1,
        shuffle: bool = True,
    ) -> None:
        self.dataset, self.split, self.signature = dataset, split, signature
        self.shards = dataset.shards(split)
        self.facts = dataset.manifest.splits[split]
        if not self.facts.rows:
            raise BadData.at(f"{dataset.folder}/split={split}", "the split is empty; nothing to feed")
        self.seed, self.batch_size, self.shuffle = seed, batch_size, shuffle
        self.lanes = lanes_for(batch_size, lanes)
        self.own = lanes_of(rank, ranks, self.lanes)
        self.ranks = ranks
        self.window = max(batch_size, window_bytes // decode.row_bytes(signature))
        self.engine = engine or default_engine()
        fits = self.facts.rows * decode.row_bytes(signature) <= CACHE_BYTES
        self.cached = memory == "cached" or (memory == "auto" and fits)
        self.epoch, self.batch = 0, 0
        self.statistics = Statistics()
        self._whole: Arrays | None = None

    def __len__(self) -> int:
        return self.plan(0).batches

    def __iter__(self) -> Iterator[Batch]:
        """The batches from where the state stands to the epoch's end. Nothing happens before the first is asked for."""
        return self._batches()

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "batch": self.batch, **self._facts()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises BadData when the state is of other batches: another dataset, seed, batch size, lanes or window."""
        differing = {name: (state.get(name), value) for name, value in self._facts().items() if state.get(name) != value}
        if differing:
            told = ", ".join(f"{name} was {was}, is {now}" for name, (was, now) in differing.items())
            raise BadData.at("feed", f"the state to resume is of other batches: {told}")
        self.epoch, self.batch = state["epoch"], state["batch"]

    def plan(self, epoch: int) -> Plan:
        rows = tuple(shard.rows for shard in self.shards)
        return Plan(self.facts.digest, self.seed, epoch, rows, self.batch_size, self.lanes, self.window, self.shuffle)

    def whole(self) -> Batch:
        """The entire split in stored order as one batch: for what is fitted in one go."""
        arrays = self._decoded()
        rows = np.arange(self.facts.rows)
        return self._batch(arrays, rows, rows, epoch=0, index=0, real=len(rows), ranks=1)

    def sample_ids(self, epoch: int, index: int) -> list[str]:
        """The ids of the samples of a global batch, read from the shards."""
        plan = self.plan(epoch)
        window = plan.window_of(index)
        at = slice((index - plan.windows[window]) * plan.slots, (index + 1 - plan.windows[window]) * plan.slots)
        rows = np.concatenate([plan.lane_rows(lane, window)[at] for lane in range(self.lanes)])
        rows = rows[rows != EMPTY]
        owners = shards_in(rows, plan.shard_rows)
        starts = np.concatenate([[0], np.cumsum(plan.shard_rows)])
        ids: dict[int, str] = {}
        for shard in np.unique(owners).tolist():
            names = pq.read_table(self.dataset.verified(self.shards[shard]), columns=["sample_id"]).column(0)
            ids |= {int(row): names[int(row - starts[shard])].as_py() for row in rows[owners == shard]}
        return [ids[int(row)] for row in rows]

    def _facts(self) -> dict[str, Any]:
        names = ("seed", "batch_size", "lanes", "window")
        return {name: getattr(self, name) for name in names} | {"digest": self.facts.digest}

    def _batches(self) -> Iterator[Batch]:
        if self.batch >= len(self):
            self.epoch, self.batch = self.epoch + 1, 0
        plan = self.plan(self.epoch)
        self.statistics = Statistics()
        source = self._windows_cached(plan) if self.cached else self._windows_streamed(plan)
        first_window = plan.window_of(self.batch)
        for window in range(first_window, len(plan.windows) - 1):
            arrays, rows = self._timed(lambda: next(source))
            for index in range(max(self.batch, plan.windows[window]), plan.windows[window + 1]):
                at = slice((index - plan.windows[window]) * plan.slots, (index + 1 - plan.windows[window]) * plan.slots)
                own = rows[:, at].reshape(-1)
                made = self._timed(lambda own=own, index=index: self._batch(  # type: ignore[misc]
                    arrays, own, own, epoch=plan.epoch, index=index, real=plan.real(index), ranks=self.ranks
                ))
                self.statistics.rows += int((own != EMPTY).sum())
                # the counter moves first: a checkpoint is taken while this generator still stands at its yield
                self.batch = index + 1
                yield made

    def _windows_cached(self, plan: Plan) -> Iterator[tuple[Arrays, NDArray[np.int64]]]:
        """For each window from the state's on: the decoded split, and (lane, slot) -> row in it."""
        arrays = self._decoded()
        for window in range(plan.window_of(self.batch), len(plan.windows) - 1):
            yield arrays, np.stack([plan.lane_rows(lane, window) for lane in self.own])

    def _windows_streamed(self, plan: Plan) -> Iterator[tuple[Arrays, NDArray[np.int64]]]:
        """As `_windows_cached`, with the rows of one window alone; the next is read while this one is used."""
        first = plan.window_of(self.batch)
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(self._window, plan, first)
            for window in range(first, len(plan.windows) - 1):
                found = ahead.result()
                if window + 2 < len(plan.windows):
                    ahead = pool.submit(self._window, plan, window + 1)
                yield found

    def _window(self, plan: Plan, window: int) -> tuple[Arrays, NDArray[np.int64]]:
        rows = np.stack([plan.lane_rows(lane, window) for lane in self.own])
        wanted = rows[rows != EMPTY]
        places = np.full(rows.shape, EMPTY, np.int64)
        places[rows != EMPTY] = np.arange(len(wanted))
        return self._gather(plan, wanted), places

    def _gather(self, plan: Plan, wanted: NDArray[np.int64]) -> Arrays:
        """The rows `wanted`, in that order, read shard by shard in whatever order shards arrive."""
        owners = shards_in(wanted, plan.shard_rows)
        starts = np.concatenate([[0], np.cumsum(plan.shard_rows)])
        needed = np.unique(owners).tolist()
        buffer: Arrays = {}
        for shard, arrays in self._read(needed):
            slots = np.flatnonzero(owners == shard)
            inside = wanted[slots] - starts[shard]
            for name, values in arrays.items():
                if name not in buffer:
                    buffer[name] = np.empty((len(wanted), *values.shape[1:]), values.dtype)
                buffer[name][slots] = values[inside]
        return buffer

    def _decoded(self) -> Arrays:
        """The whole split, decoded once."""
        if self._whole is None:
            by_shard = dict(self._read(list(range(len(self.shards)))))
            names = next(iter(by_shard.values()))
            self._whole = {name: np.concatenate([by_shard[at][name] for at in sorted(by_shard)]) for name in names}
        return self._whole

    def _read(self, shards: list[int]) -> Iterator[tuple[int, Arrays]]:
        files = [self.dataset.verified(self.shards[shard]) for shard in shards]
        for file, shard in zip(files, shards, strict=True):
            _refuse_foreign(file, self.shards[shard].row_groups)
        read: Callable[..., Iterator[tuple[int, dict[str, pa.ChunkedArray]]]]
        read = parts.find("training.feed.engines", self.engine).read
        for at, columns in read(files, decode.columns_read(self.signature)):
            yield shards[at], decode.arrays(columns, self.signature, files[at])

    def _batch(
        self, arrays: Arrays, rows: NDArray[np.int64], own: NDArray[np.int64], *, epoch: int, index: int, real: int, ranks: int
    ) -> Batch:
        mask = own != EMPTY
        taken = {name: _take(values, rows, mask) for name, values in arrays.items()}
        inputs = [made for field in self.signature.inputs for made in decode.tensors(taken, field, field.name)]
        target = decode.tensors(taken, self.signature.target, decode.TARGET)[0] if self.signature.target else None
        weight = torch.from_numpy(mask.astype(np.float32))
        if self.signature.weighted:
            weight = weight * torch.from_numpy(taken[decode.WEIGHT])
        if not mask.all():
            empty = torch.from_numpy(~mask)
            for tensor in (*inputs, *([target] if target is not None else [])):
                tensor[empty] = 0
        return Batch(tuple(inputs), target, weight, torch.from_numpy(mask), real, ranks, epoch, index)

    def _timed(self, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        try:
            return work()
        finally:
            self.statistics.wait_s += time.perf_counter() - started


def _take(values: NDArray[Any], rows: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Rows of an array; zeros for masked slots. torch's index_select gathers 5 times faster than numpy's indexing."""
    safe = np.where(mask, rows, 0)
    if not len(values):
        return np.zeros((len(rows), *values.shape[1:]), values.dtype)
    taken: NDArray[Any] = torch.from_numpy(values).index_select(0, torch.from_numpy(safe)).numpy()
    if not mask.all():
        taken[~mask] = 0
    return taken


def _refuse_foreign(file: Path, row_groups: int) -> None:
    """A shard is plain Parquet, or is not read: petastorm would unpickle what it finds under its own keys."""
    facts = pq.read_metadata(file)
    if any(name.startswith(REFUSED_KEY) for name in facts.metadata or {}):
        raise BadData.at(file, "holds keys of petastorm's own schema, which may hide code; prepare the dataset with Millstream")
    if facts.num_row_groups != row_groups:
        raise BadData.at(file, f"{facts.num_row_groups} row groups; the manifest says {row_groups}")

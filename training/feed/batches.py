"""The feed: batches of tensors from a dataset version, in the planned order, each sample once an epoch."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, Self

import torch
from torch import Tensor

from tracking.dataset import Dataset
from tracking.faults import BadData, BadEnvironment
from tracking.manifest import Signature
from tracking.parts import find
from training.feed.augment import Augmented
from training.feed.batch import Batch
from training.feed.blocks import blocks_of
from training.feed.order import NO_ROW, Plan, default_lanes, own_lanes
from training.feed.shards import Shards
from training.feed.windows import Held, Read, Statistics, Streamed, Window, ahead

Engine = Literal["petastorm", "arrow"]
Memory = Literal["auto", "cached", "streamed"]

WINDOW_BYTES = 256 << 20
CACHE_BYTES = 2 << 30


def default_engine() -> Engine:
    """petastorm where it is installed, else arrow."""
    return "petastorm" if importlib.util.find_spec("petastorm") else "arrow"


class Feed:
    """One rank's batches of a split, as Lightning iterates them: `len` is exact, and `iter` does nothing until `next`.

    The state is (epoch, next batch) and names no rank, so that a run may go on with another number of ranks. A pass
    that follows a whole one is the next epoch. An unshuffled feed starts at its first batch in every pass.
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
        cache_bytes: int = CACHE_BYTES,
        engine: Engine | None = None,
        memory: Memory = "auto",
        rank: int = 0,
        ranks: int = 1,
        shuffle: bool = True,
    ) -> None:
        """Raises BadData for a split without rows, WrongRecipe for lanes or ranks that do not divide, and
        BadEnvironment for an engine that is not installed."""
        self.dataset = dataset
        self.split = split
        self.batch_size = batch_size
        self.lanes = lanes or default_lanes(batch_size)
        self.ranks = ranks
        self.shuffle = shuffle
        self.engine: Engine = engine or default_engine()
        self._own = own_lanes(rank, ranks, self.lanes, batch_size)
        self._shards = Shards(dataset, split, blocks_of(signature, dataset.manifest))
        rows = sum(self._shards.rows)
        if rows == 0:
            raise BadData.at(dataset.folder, f"the split {split!r} has no rows; change the recipe's split")
        fits = rows * self._shards.row_bytes <= cache_bytes
        self.memory = memory if memory != "auto" else ("cached" if fits else "streamed")
        self._first = Plan(
            digest=dataset.manifest.splits[split].digest,
            seed=seed,
            epoch=0,
            shard_rows=self._shards.rows,
            batch_size=batch_size,
            lanes=self.lanes,
            window_rows=max(1, window_bytes // self._shards.row_bytes),
            shuffle=shuffle,
        )
        self._held = Held(self._shards, _read(self.engine))
        is_trained_on = split == "train" and shuffle
        self._augmented = Augmented.of(self._shards, dataset.manifest, seed) if is_trained_on else None
        self._epoch, self._batch, self._is_placed = 0, 0, False
        self.statistics = Statistics()

    def __len__(self) -> int:
        """Global batches of a whole epoch, the same on all ranks."""
        return self._first.batches

    def __iter__(self) -> Iterator[Batch]:
        """What is left of the epoch, or the next one. Files are opened and threads started at the first `next`."""
        if self._batch >= len(self):
            self._epoch, self._batch = self._epoch + 1, 0
        elif not self.shuffle and not self._is_placed:
            self._batch = 0
        self._is_placed = False
        self.statistics = statistics = Statistics(started=time.monotonic())
        plan, first = self.plan(self._epoch), self._batch
        waiting_since = time.monotonic()
        windows = self._memory.windows(plan, self._own, first, statistics)
        if self._augmented is not None:
            windows = self._augmented.windows(windows, plan.epoch)
        with closing(ahead(windows, plan.windows - plan.window_of(first))) as made:
            for window in made:
                for at in range(max(0, first - window.first), len(window.slots)):
                    batch = self._made(window, at, plan.epoch)
                    statistics.rows += int(batch.mask_B.sum())
                    statistics.wait_s += time.monotonic() - waiting_since
                    # before the yield: a checkpoint is written while this generator rests there
                    self._batch = batch.index + 1
                    yield batch
                    waiting_since = time.monotonic()

    def state_dict(self) -> dict[str, int | str]:
        """Where the feed stands: epoch, next batch, and what the order follows from."""
        return {"epoch": self._epoch, "batch": self._batch, **self._identity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken. Raises BadData when it was taken of another order."""
        wrong = [
            f"{name} {state.get(name)!r}, here {own!r}"
            for name, own in self._identity.items()
            if state.get(name) != own
        ]
        if wrong:
            told = f"the checkpoint's feed had {'; '.join(wrong)}"
            raise BadData.at(
                f"{self.dataset.folder} {self.split}", f"{told}; resume with the recipe and data it began with"
            )
        self.seek(state["epoch"], state["batch"])

    def seek(self, epoch: int, batch: int = 0) -> None:
        """The next pass starts with the global batch `batch` of `epoch`."""
        self._epoch, self._batch, self._is_placed = epoch, batch, True

    def of_rank(self, rank: int, ranks: int) -> Self:
        """Another rank's feed in the same process; a split that is held is held once."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.ranks, other.statistics = ranks, Statistics()
        other._own = own_lanes(rank, ranks, self.lanes, self.batch_size)
        return other

    def plan(self, epoch: int) -> Plan:
        """The order of an epoch, for all ranks."""
        return replace(self._first, epoch=epoch)

    def sample_ids(self, epoch: int, index: int) -> list[str]:
        """The sample ids of a global batch, in the order of its slots, all ranks together."""
        plan = self.plan(epoch)
        k = plan.window_of(index)
        slots = plan.slots(k, range(self.lanes))[index - plan.window(k).start]
        return self._shards.sample_ids(slots[slots != NO_ROW])

    def whole(self) -> Batch:
        """The entire split as one batch in stored order, whatever the rank: for what is fitted at once.

        Raises BadData where the dataset asks for augmentation in the feed, which happens batch by batch.
        """
        if self._augmented is not None:
            told = "augment with `where: feed` changes batches, and a model that is fitted at once sees none"
            raise BadData.at(self.dataset.folder, f"{told}; prepare with `where: spark`")
        rows = self._first.rows
        stored = self._held.blocks(self.statistics)
        return self._batch_of(stored, torch.ones(rows, dtype=torch.bool), real=rows, ranks=1, epoch=0, index=0)

    @cached_property
    def _memory(self) -> Held | Streamed:
        return self._held if self.memory == "cached" else Streamed(self._shards, _read(self.engine))

    @property
    def _identity(self) -> dict[str, int | str]:
        """What the order follows from, besides the epoch."""
        plan = self._first
        return {
            "digest": plan.digest,
            "seed": plan.seed,
            "batch_size": plan.batch_size,
            "lanes": plan.lanes,
            "window_rows": plan.window_rows,
        }

    def _made(self, window: Window, at: int, epoch: int) -> Batch:
        index = window.first + at
        mask_B = torch.from_numpy(window.slots[at] != NO_ROW)
        real = min(self.batch_size, self._first.rows - index * self.batch_size)
        return self._batch_of(window.stored(at), mask_B, real=real, ranks=self.ranks, epoch=epoch, index=index)

    def _batch_of(self, stored: tuple[Tensor, ...], mask_B: Tensor, **place: int) -> Batch:
        blocks = self._shards.blocks
        tensors = [block.tensor(rows) for block, rows in zip(blocks, stored, strict=True)]
        for at, block in enumerate(blocks):
            if block.is_lengths:  # no wider than the longest list of this rank's rows
                longest = int(tensors[at][mask_B].max()) if bool(mask_B.any()) else 0
                tensors[at - 1] = tensors[at - 1][:, : max(1, longest)].contiguous()
        if not bool(mask_B.all()):
            # (b,) against (b, ...): zero what stands in slots without a row
            tensors = [one.masked_fill(~mask_B.reshape(-1, *(1,) * (one.ndim - 1)), 0) for one in tensors]
        # blocks come in the order inputs, target, weight
        weight_B = tensors.pop() if blocks[-1].role == "weight" else mask_B.to(torch.float32)
        target = tensors.pop() if blocks[len(tensors) - 1].role == "target" else None
        return Batch(tuple(tensors), target, weight_B, mask_B, **place)


def _read(engine: Engine) -> Read:
    if engine == "petastorm" and importlib.util.find_spec("petastorm") is None:
        raise BadEnvironment.at("fit.engine", "petastorm is not installed in this environment; use engine arrow")
    found: Read = find("training.feed.engines", engine).read
    return found

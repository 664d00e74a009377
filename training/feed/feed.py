"""The feed: batches of tensors from a dataset version, in the planned order, each sample once per epoch."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData, BadEnvironment
from millstream.tracking.recipe.plugins import find
from millstream.training.feed.augment.pipeline import Augmented
from millstream.training.feed.batch import Batch
from millstream.training.feed.collate import Place, batches, together
from millstream.training.feed.engines import petastorm
from millstream.training.feed.plan.batch_order import NO_ROW, Plan, default_lanes, own_lanes
from millstream.training.feed.plan.config import Engine, Reading
from millstream.training.feed.plan.contiguous import Contiguous
from millstream.training.feed.plan.epoch import Drawing, Epoch, lengths_of, samples_of
from millstream.training.feed.plan.sequences import sequences_of
from millstream.training.feed.read.columns import blocks_of
from millstream.training.feed.read.shards import Shards
from millstream.training.feed.read.shared_memory import room
from millstream.training.feed.read.windows import (
    Held,
    Read,
    Statistics,
    Streamed,
    Window,
    ahead,
    in_turn,
    is_worth_threads,
)

HANDED_OVER = 4
"""Groups of collated batches that the reading thread hands over at a time: each hand-over wakes a thread."""


def default_engine(columns: Iterable[str] = ()) -> Engine:
    """petastorm if installed and able to read all `columns` names, else arrow."""
    return "petastorm" if importlib.util.find_spec("petastorm") and not petastorm.unreadable(columns) else "arrow"


class Feed:
    """Iterable of one rank's batches of a split, for Lightning: `len` is exact, and `iter` is lazy until `next`.

    The state is (epoch, next batch) without a rank, so that a run can be resumed with another number of ranks. After a
    complete pass, the next pass is the next epoch. An unshuffled feed starts at its first batch in every pass.

    The state belongs to the feed, not to a pass: a pass starts, at its first `next`, at the feed's current position. Of
    two concurrent passes over a shuffled feed, the second misses the batches of the first; `of_rank` returns another
    feed, with its own state.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        signature: Signature,
        reading: Reading,
        *,
        rank: int = 0,
        ranks: int = 1,
        shuffle: bool = True,
        shared: bool = False,
    ) -> None:
        """With `shared`, a cached split is in memory once for all processes of the host.

        Raises BadData for a split without samples, WrongRecipe for lanes or ranks that do not divide, and
        BadEnvironment for an engine that is not installed.
        """
        self.dataset = dataset
        self.split = split
        self.batch_size = reading.batch_size
        self.lanes = reading.lanes or default_lanes(reading.batch_size)
        self.ranks = ranks
        self.shuffle = shuffle
        self._own = own_lanes(rank, ranks, self.lanes, self.batch_size)
        is_drawn = reading.sampling == "weighted" and shuffle
        # a weight is a sampling rate or a loss weight, not both
        read = signature.model_copy(update={"weighted": False}) if is_drawn else signature
        self.shards = Shards(dataset, split, blocks_of(read, dataset.manifest), is_worth_threads(dataset.folder))
        self.engine: Engine = reading.engine or default_engine(column.name for column in self.shards.columns)
        self._samples = samples_of(self.shards)
        self._drawing = Drawing.of(self.shards, reading.seed) if is_drawn else None
        self._bucket = reading.bucket_batches if shuffle else 0
        self._lengths = lengths_of(self.shards) if self._bucket else None
        samples = int(self._samples.firsts[-1])
        if samples == 0:
            raise BadData.at(dataset.folder, f"the split {split!r} has no rows; change the recipe's split")
        most = min(reading.cache_bytes, room()) if shared else reading.cache_bytes
        fits = self.shards.held_bytes <= most
        self.memory = reading.memory if reading.memory != "auto" else ("cached" if fits else "streamed")
        first: dict[str, Any] = {
            "digest": dataset.manifest.splits[split].digest,
            "seed": reading.seed,
            "epoch": 0,
            "shard_rows": self._samples.of_shard,
            "batch_size": self.batch_size,
            "lanes": self.lanes,
            "window_rows": max(1, reading.window_bytes // self.shards.sample_bytes),
            "shuffle": shuffle,
        }
        is_contiguous = reading.order == "contiguous"
        sequences = sequences_of(self.shards, self._samples) if is_contiguous else None
        self._first = Plan(**first) if sequences is None else Contiguous(**first, sequences=sequences)
        self._held = Held(self.shards, self.read, shared)
        is_trained_on = split == "train" and shuffle
        self._augmented = Augmented.of(self.shards, dataset.manifest, reading.seed) if is_trained_on else None
        self._epoch, self._batch, self._is_placed = 0, 0, False
        self.statistics = Statistics()

    def __len__(self) -> int:
        """Global batches per epoch, the same on all ranks."""
        return self._first.batches

    def __iter__(self) -> Iterator[Batch]:
        """The rest of the epoch, or the next epoch. Files are opened and threads started at the first `next`."""
        if self._batch >= len(self):
            self._epoch, self._batch = self._epoch + 1, 0
        elif not self.shuffle and not self._is_placed:
            self._batch = 0
        self._is_placed = False
        self.statistics = statistics = Statistics(started=time.monotonic())
        epoch, first = self.epoch(self._epoch), self._batch
        slots = self.batch_size // self.ranks
        size = together(self.shards.blocks, slots)
        # gather and conversion alone are faster in this thread, with all cores, than handed over by another; and freed
        # batches are still in its cache when the next are collated
        made, handed_over = (ahead, HANDED_OVER) if self.is_augmented else (in_turn, 1)
        parts = list(_parts(epoch.plan, first, size * handed_over))
        waiting_since = time.monotonic()
        with closing(made(self._lists(epoch, parts, size, statistics), len(parts))) as lists:
            for some in lists:
                for batch in some:
                    is_full = batch.index + 1 < len(self)
                    statistics.rows += slots if is_full else int(batch.mask_B.sum())
                    statistics.wait_s += time.monotonic() - waiting_since
                    # before the yield: checkpoints are saved while this generator is suspended
                    self._batch = batch.index + 1
                    yield batch
                    waiting_since = time.monotonic()

    def state_dict(self) -> dict[str, int | str]:
        """Position of the feed: epoch, next batch, and the facts that determine the order."""
        return {"epoch": self._epoch, "batch": self._batch, **self._identity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume at `state`. Raises BadData for a state of another order."""
        own = self._identity
        names = dict.fromkeys((*own, *(name for name in state if name not in ("epoch", "batch"))))
        wrong = [
            f"{name} {state.get(name)!r}, here {own.get(name)!r}" for name in names if state.get(name) != own.get(name)
        ]
        if wrong:
            message = f"the checkpoint's feed had {'; '.join(wrong)}"
            raise BadData.at(
                f"{self.dataset.folder} {self.split}", f"{message}; resume with the recipe and data it began with"
            )
        self.seek(state["epoch"], state["batch"])

    def seek(self, epoch: int, batch: int = 0) -> None:
        """Start the next pass at the global batch `batch` of `epoch`."""
        self._epoch, self._batch, self._is_placed = epoch, batch, True

    def of_rank(self, rank: int, ranks: int) -> Self:
        """Another rank's feed in the same process; a cached split is shared."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.ranks, other.statistics = ranks, Statistics()
        other._own = own_lanes(rank, ranks, self.lanes, self.batch_size)
        return other

    @property
    def read(self) -> Read:
        """The engine that reads the shards."""
        return _read(self.engine)

    @property
    def is_augmented(self) -> bool:
        """Whether batches are augmented on the fly."""
        return self._augmented is not None

    def unchanged(self) -> Self:
        """The same feed without augmentation; a cached split is shared."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._augmented, other.statistics = None, Statistics()
        return other

    def plan(self, epoch: int) -> Plan:
        """The order of an epoch, for all ranks."""
        return self.epoch(epoch).plan

    def epoch(self, number: int, lanes: range | None = None) -> Epoch:
        """Samples of an epoch and their order, for this rank's lanes or for `lanes`."""
        samples = self._samples if self._drawing is None else self._drawing.samples(number)
        plan = replace(self._first, epoch=number, shard_rows=samples.of_shard)
        return Epoch(plan, samples, self._own if lanes is None else lanes, self._lengths, self._bucket)

    def sample_ids(self, epoch: int, index: int) -> list[str]:
        """Sample ids of a global batch over all ranks, in slot order."""
        return self._ids(self.epoch(epoch, range(self.lanes)), index)

    def own_sample_ids(self, epoch: int, index: int) -> list[str]:
        """Sample ids of this rank's part of a global batch, in slot order."""
        return self._ids(self.epoch(epoch), index)

    def _ids(self, epoch: Epoch, index: int) -> list[str]:
        k = epoch.plan.window_of(index)
        slots = epoch.slots(k)[index - epoch.plan.window(k).start]
        return self.shards.sample_ids(epoch.samples, slots[slots != NO_ROW])

    @property
    def is_changing(self) -> bool:
        """Whether rows are augmented on the fly, so that they differ in each epoch."""
        return self._augmented is not None

    def refuse_changes(self) -> None:
        """Raises BadData where the dataset requires augmentation in the feed, which is applied batch by batch."""
        if self.is_changing:
            message = "augment with `where: feed` changes batches, and a model that is fitted at once sees none"
            raise BadData.at(self.dataset.folder, f"{message}; prepare with `where: spark`")

    def whole(self) -> Batch:
        """The entire split as one batch in stored order, on any rank: for estimators.

        Each row is included once, with its weight, even with weighted sampling.
        Raises BadData as `refuse_changes` does.
        """
        self.refuse_changes()
        count = self._first.rows
        slots = np.arange(count)[None]
        stored = self._held.gather(self._samples, slots, self.statistics)(slice(0, count))
        whole = batches(self.shards.blocks, stored, None, Place(0, 0, count, count, 1))[0]
        if self._drawing is None:
            return whole
        return whole._replace(weight_B=torch.from_numpy(self._drawing.weights.astype(np.float32)))

    @property
    def _memory(self) -> Held | Streamed:
        return self._held if self.memory == "cached" else Streamed(self.shards, self.read)

    @property
    def _identity(self) -> dict[str, int | str]:
        plan = self._first
        return {
            "digest": plan.digest,
            "seed": plan.seed,
            "batch_size": plan.batch_size,
            "lanes": plan.lanes,
            "window_rows": plan.window_rows,
            "bucket": self._bucket,
            "drawn": int(self._drawing is not None),
            # states of before have no order
            **({"order": "contiguous"} if isinstance(plan, Contiguous) else {}),
        }

    def _lists(
        self, epoch: Epoch, parts: list[Part], size: int, statistics: Statistics
    ) -> Generator[list[Batch], None, None]:
        """The batches of each of `parts`, `size` of them collated at a time."""
        first = parts[0].batches.start
        windows = self._memory.windows(epoch, first, statistics)
        if self._augmented is not None:
            windows = self._augmented.windows(windows, epoch)
        count = epoch.plan.windows - epoch.plan.window_of(first)
        read = ahead if self.memory == "streamed" and self.shards.are_read_beside else in_turn
        with closing(read(windows, count)) as coming:
            window, number = next(coming), parts[0].window
            for part in parts:
                if part.window != number:
                    window, number = next(coming), part.window
                found = []
                for start in part.batches[::size]:
                    some = range(start, min(start + size, part.batches.stop))
                    found += self._made(window, some, epoch)
                yield found

    def _made(self, window: Window, some: range, epoch: Epoch) -> list[Batch]:
        plan = epoch.plan
        at, slots = slice(some.start - window.first, some.stop - window.first), window.slots.shape[1]
        place = Place(plan.epoch, some.start, plan.rows, self.batch_size, self.ranks)
        # only the last batch of an epoch can have slots without a sample
        is_sample = window.slots[at] != NO_ROW if some.stop == plan.batches else None
        stored = window.stored(slice(at.start * slots, at.stop * slots))
        return batches(self.shards.blocks, stored, is_sample, place, epoch.begins(some))


class Part(NamedTuple):
    """Batches of a window that are handed over at a time."""

    window: int
    batches: range


def _parts(plan: Plan, first: int, size: int) -> Iterator[Part]:
    for k in range(plan.window_of(first), plan.windows):
        window = plan.window(k)
        for start in range(max(first, window.start), window.stop, size):
            yield Part(k, range(start, min(start + size, window.stop)))


def _read(engine: Engine) -> Read:
    if engine == "petastorm" and importlib.util.find_spec("petastorm") is None:
        raise BadEnvironment.at("fit.engine", "petastorm is not installed in this environment; use engine arrow")
    found: Read = find("millstream.training.feed.engines", engine).read
    return found

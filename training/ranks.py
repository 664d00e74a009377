"""The processes that train together: which one this is, and what they tell each other beside gradients.

torchrun, SLURM and Spark's TorchDistributor start processes and say in the environment which one each is; a process of
which nobody says anything is alone. What ranks agree on goes over gloo, whatever carries the gradients.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from tracking.faults import BadEnvironment, Fault, WrongRecipe

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
SLURM = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE")
GONE = ("timed out", "timeout", "connection closed", "reset by peer", "broken pipe")
"""What torch says when a rank does not answer."""
MEETING_S = 300
"""How long ranks wait at the start until all are there: hosts do not start alike."""
MISSED_S = 5.0
"""How long is waited for a rank that is looked for, once another one has waited for it in vain."""


@dataclass(frozen=True)
class Ranks:
    """This process among `ranks`, of which `local_ranks` run on this host."""

    rank: int = 0
    ranks: int = 1
    local_rank: int = 0
    local_ranks: int = 1

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Ranks:
        """Raises WrongRecipe when the environment says only a part of it."""
        for names in (TORCHRUN, SLURM):
            said = [environment.get(name, "") for name in names]
            if all(one.isdigit() for one in said):
                return cls(*map(int, said))
            if any(said) and names is TORCHRUN:
                told = dict(zip(names, said, strict=True))
                raise WrongRecipe.at("environment", f"{told} says only a part of who this process is; use torchrun")
        return cls()

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        return self.ranks == 1

    @property
    def nodes(self) -> int:
        return self.ranks // self.local_ranks

    @contextmanager
    def joined(self, timeout_s: float) -> Iterator[Ranks]:
        """While inside, the ranks can reach each other; one that waits longer than `timeout_s` for another gives up.

        Raises BadEnvironment when they did not meet, or one of them has gone since.
        """
        if self.is_alone:
            yield self
            return
        wait = timedelta(seconds=timeout_s)
        store = meeting(self)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        try:
            dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.ranks, timeout=wait)
            # a group of their own for words, and one to call with when a rank is stuck in the middle of another's work
            _GROUPS.update({name: dist.new_group(backend="gloo", timeout=wait) for name in ("words", "call")})
        except dist.DistError as error:
            told = f"another rank has gone since they met ({error}); look at the logs of all {self.ranks}"
            raise BadEnvironment.at(f"rank {self.rank} of {self.ranks}", told) from error
        try:
            yield self
        finally:
            dist.destroy_process_group()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Raises BadEnvironment naming the ranks that do not answer, where torch says that it has waited in vain."""
        try:
            yield
        except RuntimeError as error:
            if self.is_alone or not any(words in str(error).lower() for words in GONE):
                raise
            raise BadEnvironment.at(f"rank {self.rank} of {self.ranks}", self._missing()) from error

    def agree(self, value: int) -> int:
        """The largest of the ranks' values, the same on all of them."""
        if self.is_alone:
            return value
        told = torch.tensor([value])
        dist.all_reduce(told, dist.ReduceOp.MAX, group=self._group)
        return int(told)

    def gather(self, text: str) -> list[str]:
        """The text of each rank in order, on all of them."""
        if self.is_alone:
            return [text]
        content = torch.tensor(list(text.encode()), dtype=torch.uint8)
        longest = self.agree(len(content))
        mine = torch.zeros(longest, dtype=torch.uint8)
        mine[: len(content)] = content
        told = [torch.zeros_like(mine) for _ in range(self.ranks)]
        dist.all_gather(told, mine, group=self._group)
        return [bytes(one.tolist()).rstrip(b"\0").decode() for one in told]

    def same(self, facts: Mapping[str, str]) -> None:
        """Raises WrongRecipe on every rank, with all that differs, unless all were started with the same facts."""
        told = [json.loads(one) for one in self.gather(json.dumps(dict(facts)))]
        found = []
        for name in facts:
            values: dict[str, list[int]] = {}
            for rank, one in enumerate(told):
                values.setdefault(one.get(name, "unknown"), []).append(rank)
            if len(values) > 1:
                shown = "; ".join(f"ranks {', '.join(map(str, ranks))}: {value}" for value, ranks in values.items())
                found.append(Fault(where=name, message=f"{shown}; start all ranks with the same one"))
        WrongRecipe.unless_empty(found)

    @property
    def _group(self) -> dist.ProcessGroup | None:
        return _GROUPS["words"]

    def _missing(self) -> str:
        """Who does not answer, and what would do."""
        missing = "a rank"
        try:
            dist.monitored_barrier(_GROUPS["call"], timedelta(seconds=MISSED_S), wait_all_ranks=True)
        except RuntimeError as error:
            missing = _named(str(error)) or missing
        return f"{missing} does not answer; look at its log and host, then resume with any number of ranks"


class Placed(ClusterEnvironment):
    """Tells Lightning what we know: processes that are started by others, and have found each other."""

    def __init__(self, place: Ranks) -> None:
        super().__init__()
        self.place = place

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return os.environ["MASTER_ADDR"]

    @property
    def main_port(self) -> int:
        return int(os.environ["MASTER_PORT"])

    @staticmethod
    def detect() -> bool:
        return not here().is_alone

    def world_size(self) -> int:
        return self.place.ranks

    def set_world_size(self, size: int) -> None:
        """It is known already."""

    def global_rank(self) -> int:
        return self.place.rank

    def set_global_rank(self, rank: int) -> None:
        """It is known already."""

    def local_rank(self) -> int:
        return self.place.local_rank

    def node_rank(self) -> int:
        return self.place.rank // self.place.local_ranks


_GROUPS: dict[str, dist.ProcessGroup | None] = {"words": None, "call": None}


def here() -> Ranks:
    """This process, as its environment tells."""
    return Ranks.of(os.environ)


def restarts() -> int:
    """How often torchrun has started this process again, after a rank was lost."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or 0)


@cache
def meeting(place: Ranks) -> Store:
    """Where ranks leave word for each other; they meet there once. Raises BadEnvironment when they did not."""
    if "MASTER_ADDR" not in os.environ:  # SLURM says where the ranks are, and not where they are to meet
        slurm = SLURMEnvironment()
        os.environ |= {"MASTER_ADDR": slurm.main_address, "MASTER_PORT": str(slurm.main_port)}
    try:
        store: Store = next(rendezvous("env://", place.rank, place.ranks, timeout=timedelta(seconds=MEETING_S)))[0]
    except dist.DistError as error:
        told = f"the ranks did not meet in {MEETING_S} s ({error}); look at the logs of all {place.ranks}"
        raise BadEnvironment.at(f"rank {place.rank} of {place.ranks}", told) from error
    return store


def _named(told: str) -> str | None:
    """The ranks that a barrier waited for in vain, in its own words: `Ranks 1, 3 failed to pass ...`."""
    before, found, _ = told.partition(" failed to pass monitoredBarrier")
    if not found:
        return None
    return before.rpartition("\n")[2].rpartition("] ")[2].strip().lower() or None

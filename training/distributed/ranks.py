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
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from millstream.tracking.errors import BadEnvironment, Fault, WrongRecipe
from millstream.training.distributed import liveness, rank_environment, watchdog
from millstream.training.distributed.liveness import Peer, Responder

GONE = (
    "timed out",
    "timeout",
    "connection closed",
    "connection refused",
    "reset by peer",
    "broken pipe",
    "no route to host",
    "unreachable",
)
"""What torch says when a rank does not answer."""
MEETING_S = 300
"""How long ranks wait at the start until all are there: hosts do not start alike."""
LEAVE_WITHIN_S = 30.0
"""How long a rank takes at most to end, once it has waited for another one in vain."""


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
        numbers = rank_environment.read(environment)
        return cls(*numbers) if numbers else cls()

    @property
    def name(self) -> str:
        return f"rank {self.rank} of {self.ranks}"

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
        store = meeting(self)
        # a store whose host is gone is waited for without an end, whatever time-out it was given
        lost = BadEnvironment.at(
            self.name, f"the ranks did not connect; look at the logs and hosts of all {self.ranks}"
        )
        with watchdog.limit(MEETING_S + 2 * timeout_s, lost):
            self._connect(store, timedelta(seconds=timeout_s))
        responder = Responder(only_this_host=self.nodes == 1)
        try:
            with self.watched():
                _PEERS.update(enumerate(map(Peer.of, self.gather(responder.record))))
            yield self
        finally:
            responder.close()  # first: who then loses the connection asks whether this process is there
            _PEERS.clear()
            dist.destroy_process_group()

    def _connect(self, store: Store, wait: timedelta) -> None:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        try:
            dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.ranks, timeout=wait)
            # a group of its own for what ranks agree on, beside the one of the gradients
            _GROUPS["words"] = dist.new_group(backend="gloo", timeout=wait)
        except RuntimeError as error:  # DistError among them; gloo itself raises no other
            told = f"another rank has gone since they met ({error}); look at the logs of all {self.ranks}"
            raise BadEnvironment.at(self.name, told) from error

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Raises BadEnvironment naming the ranks that do not answer, where torch says that it has waited in vain.

        From then on this process ends within `LEAVE_WITHIN_S`, whatever a library still waits for.
        """
        try:
            yield
        except RuntimeError as error:
            if self.is_alone or not any(words in str(error).lower() for words in GONE):
                raise
            lost = BadEnvironment.at(self.name, self._missing(error))
            watchdog.start(LEAVE_WITHIN_S, lost)
            raise lost from error

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

    def broadcast(self, content: bytes) -> bytes:
        """The bytes of the first rank, on all of them."""
        if self.is_alone:
            return content
        sent = torch.zeros(self.agree(len(content) if self.is_first else 0), dtype=torch.uint8)
        if self.is_first and content:
            sent = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        if len(sent):
            dist.broadcast(sent, 0, group=self._group)
        return sent.numpy().tobytes()

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

    def _missing(self, error: RuntimeError) -> str:
        """Who does not answer, and what would do."""
        missing = liveness.lost({rank: peer for rank, peer in _PEERS.items() if rank != self.rank})
        if not missing:
            told = f"another rank was waited for in vain, though all answer ({error})"
            return f"{told}; look at their logs, then resume with any number of ranks"
        verb = "does" if len(missing) == 1 else "do"
        named = ", ".join(f"rank {rank} on host {peer.host}" for rank, peer in missing.items())
        return f"{named} {verb} not answer; look at the log and the host, then resume with any number of ranks"


_GROUPS: dict[str, dist.ProcessGroup | None] = {"words": None}
_PEERS: dict[int, Peer] = {}
"""All ranks that have joined."""


def here() -> Ranks:
    """This process, as its environment tells."""
    return Ranks.of(os.environ)


def restarts() -> int:
    """How often torchrun has started this process again, after a rank was lost."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or 0)


@cache
def meeting(place: Ranks) -> Store:
    """Where ranks leave word for each other; they meet there once. Raises BadEnvironment when they did not."""
    if not all(name in os.environ for name in rank_environment.MEETING):
        slurm = SLURMEnvironment()  # it says where the ranks are, and not where they are to meet
        os.environ |= {"MASTER_ADDR": slurm.main_address, "MASTER_PORT": str(slurm.main_port)}
    try:
        store: Store = next(rendezvous("env://", place.rank, place.ranks, timeout=timedelta(seconds=MEETING_S)))[0]
    except dist.DistError as error:
        told = f"the ranks did not meet in {MEETING_S} s ({error}); look at the logs of all {place.ranks}"
        raise BadEnvironment.at(place.name, told) from error
    return store

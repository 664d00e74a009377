"""Ranks of a distributed training: this process's rank, and communication other than gradients.

torchrun, SLURM and Spark's TorchDistributor start processes and set each one's rank in the environment; a process
without it is the only one. Communication between ranks uses gloo, whatever the backend of the gradients.
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

OWN_STORE = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"
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
"""Messages of torch when a rank does not answer."""
MEETING_S = 300
"""Timeout of the rendezvous: hosts do not start at the same time."""
LEAVE_WITHIN_S = 30.0
"""Longest time for a rank to exit after a timeout waiting for another."""


@dataclass(frozen=True)
class Ranks:
    """This process among `ranks`, of which `local_ranks` run on this host."""

    rank: int = 0
    ranks: int = 1
    local_rank: int = 0
    local_ranks: int = 1

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Ranks:
        """Raises WrongRecipe for incomplete or inconsistent variables."""
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
        """Inside, the ranks form a process group in which collectives time out after `timeout_s`.

        Raises BadEnvironment when the rendezvous failed, or a rank has been lost since.
        """
        if self.is_alone:
            yield self
            return
        store = meeting(self)
        # torch waits forever for a store whose host is lost, whatever its timeout
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
            responder.close()  # first: a rank that then loses the connection probes this process
            _PEERS.clear()
            dist.destroy_process_group()

    def _connect(self, store: Store, wait: timedelta) -> None:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        try:
            dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.ranks, timeout=wait)
            # a separate group for communication other than gradients
            _GROUPS["words"] = dist.new_group(backend="gloo", timeout=wait)
        except RuntimeError as error:  # DistError among them; gloo itself raises no other
            message = f"another rank has gone since they met ({error}); look at the logs of all {self.ranks}"
            raise BadEnvironment.at(self.name, message) from error

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Raises BadEnvironment naming the ranks that do not answer, where torch reports a timeout or lost connection.

        From then on this process exits within `LEAVE_WITHIN_S`, whatever a library still waits for.
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
        """The maximum of the ranks' values, on all ranks."""
        if self.is_alone:
            return value
        largest = torch.tensor([value])
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=self._group)
        return int(largest)

    def gather(self, text: str) -> list[str]:
        """The text of each rank in order, on all ranks."""
        if self.is_alone:
            return [text]
        content = torch.tensor(list(text.encode()), dtype=torch.uint8)
        longest = self.agree(len(content))
        mine = torch.zeros(longest, dtype=torch.uint8)
        mine[: len(content)] = content
        gathered = [torch.zeros_like(mine) for _ in range(self.ranks)]
        dist.all_gather(gathered, mine, group=self._group)
        return [bytes(one.tolist()).rstrip(b"\0").decode() for one in gathered]

    def broadcast(self, content: bytes) -> bytes:
        """The bytes of rank 0, on all ranks."""
        if self.is_alone:
            return content
        sent = torch.zeros(self.agree(len(content) if self.is_first else 0), dtype=torch.uint8)
        if self.is_first and content:
            sent = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        if len(sent):
            dist.broadcast(sent, 0, group=self._group)
        return sent.numpy().tobytes()

    def same(self, facts: Mapping[str, str]) -> None:
        """Raises WrongRecipe on every rank, with all differences, unless all ranks have the same facts."""
        by_rank = [json.loads(one) for one in self.gather(json.dumps(dict(facts)))]
        found = []
        for name in facts:
            values: dict[str, list[int]] = {}
            for rank, one in enumerate(by_rank):
                values.setdefault(one.get(name, "unknown"), []).append(rank)
            if len(values) > 1:
                shown = "; ".join(f"ranks {', '.join(map(str, ranks))}: {value}" for value, ranks in values.items())
                found.append(Fault(where=name, message=f"{shown}; start all ranks with the same one"))
        WrongRecipe.unless_empty(found)

    @property
    def _group(self) -> dist.ProcessGroup | None:
        return _GROUPS["words"]

    def _missing(self, error: RuntimeError) -> str:
        """Error message: the ranks that do not answer, and the remedy."""
        missing = liveness.lost({rank: peer for rank, peer in _PEERS.items() if rank != self.rank})
        if not missing:
            message = f"another rank was waited for in vain, though all answer ({error})"
            return f"{message}; look at their logs, then resume with any number of ranks"
        verb = "does" if len(missing) == 1 else "do"
        named = ", ".join(f"rank {rank} on host {peer.host}" for rank, peer in missing.items())
        return f"{named} {verb} not answer; look at the log and the host, then resume with any number of ranks"


_GROUPS: dict[str, dist.ProcessGroup | None] = {"words": None}
_PEERS: dict[int, Peer] = {}
"""Peers of the process group, by rank."""


def here() -> Ranks:
    """This process's rank, from its environment."""
    return Ranks.of(os.environ)


def restarts() -> int:
    """Number of restarts by torchrun after a lost rank."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or 0)


def misses_returning_hosts(environment: Mapping[str, str]) -> bool:
    """Whether torchrun on several hosts is to restart ranks, with a store that each agent keeps: then it looks for a
    host that comes back at a wrong address (findings/torch-elastic-stale-master.sh)."""
    restarts_ranks = environment.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0"
    several = environment.get("WORLD_SIZE") != environment.get("LOCAL_WORLD_SIZE")
    return restarts_ranks and several and environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


@cache
def meeting(place: Ranks) -> Store:
    """The store shared by the ranks, after one rendezvous. Raises BadEnvironment when it failed."""
    if not all(name in os.environ for name in rank_environment.MEETING):
        slurm = SLURMEnvironment()  # its variables name the nodes, but no master address
        os.environ |= {"MASTER_ADDR": slurm.main_address, "MASTER_PORT": str(slurm.main_port)}
    try:
        store: Store = next(rendezvous("env://", place.rank, place.ranks, timeout=timedelta(seconds=MEETING_S)))[0]
    except dist.DistError as error:
        message = f"the ranks did not meet in {MEETING_S} s ({error}); look at the logs of all {place.ranks}"
        raise BadEnvironment.at(place.name, message) from error
    return store

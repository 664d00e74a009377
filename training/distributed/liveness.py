"""Liveness probe: a thread of each rank answers over TCP while its process is alive.

A failed collective reports at best which connection broke, not which rank or host is lost; and the broken connection
may be caused by a third rank. So a rank whose collective timed out probes all others.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, Self

from millstream.tracking.settings import LOOPBACK

ANSWER_WITHIN_S = 5.0


class Peer(NamedTuple):
    """Address and token of a rank; the token detects that another process has taken over the port."""

    host: str
    address: str
    port: int
    token: str

    @classmethod
    def of(cls, record: str) -> Self:
        return cls(**json.loads(record))

    @property
    def is_alive(self) -> bool:
        """Whether it answers, at its own address or, on rank 0's host, at the master address."""
        addresses = {self.address, os.environ["MASTER_ADDR"], LOOPBACK}
        with ThreadPoolExecutor(len(addresses)) as pool:
            return any(pool.map(self._answers, addresses))

    def _answers(self, address: str) -> bool:
        try:
            with socket.create_connection((address, self.port), timeout=ANSWER_WITHIN_S) as connection:
                return connection.makefile().read() == self.token
        except OSError:
            return False


class Responder:
    """Answers probes until closed."""

    def __init__(self, *, only_this_host: bool) -> None:
        if only_this_host:
            self._server = socket.create_server((LOOPBACK, 0))
        else:
            both = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if both else socket.AF_INET
            self._server = socket.create_server(("", 0), family=family, dualstack_ipv6=both)
        address = LOOPBACK if only_this_host else _own_address()
        self._peer = Peer(socket.gethostname(), address, self._server.getsockname()[1], uuid.uuid4().hex)
        threading.Thread(target=self._answer, name="liveness", daemon=True).start()

    @property
    def record(self) -> str:
        """Serialized `Peer` for other ranks."""
        return json.dumps(self._peer._asdict())

    def close(self) -> None:
        with suppress(OSError):  # no longer open
            self._server.shutdown(socket.SHUT_RDWR)  # wakes the thread; closing alone does not
        self._server.close()

    def _answer(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._server.accept()
                with suppress(OSError), connection:  # the prober disconnected
                    connection.sendall(self._peer.token.encode())


def lost(peers: Mapping[int, Peer]) -> dict[int, Peer]:
    """The ranks that do not answer."""
    if not peers:
        return {}
    with ThreadPoolExecutor(len(peers)) as pool:
        answers = pool.map(lambda peer: peer.is_alive, peers.values())
        return {rank: peer for (rank, peer), alive in zip(peers.items(), answers, strict=True) if not alive}


def _own_address() -> str:
    """This host's address on the route to the master address, by which other ranks reach it."""
    meeting = socket.getaddrinfo(os.environ["MASTER_ADDR"], 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(meeting[0], socket.SOCK_DGRAM) as probe:
        probe.connect(meeting[4])  # sends nothing
        return str(probe.getsockname()[0])

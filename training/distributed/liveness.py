"""A liveness probe: each rank answers over TCP, from a thread of its own, whether its process is still there.

A collective that fails says at best which connection broke, not which rank is lost or on which host; and what one rank
sees of another may be a third one's fault. So a rank that has waited in vain asks all others.
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
    """Where a rank answers, and with which token: another process may have its port by now."""

    host: str
    address: str
    port: int
    token: str

    @classmethod
    def of(cls, record: str) -> Self:
        return cls(**json.loads(record))

    @property
    def is_alive(self) -> bool:
        """Whether it answers, at the address that it gave or, of the first rank's host, at that of the meeting."""
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
    """Answers until it is closed."""

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
        """What `Peer.of` reads on other ranks."""
        return json.dumps(self._peer._asdict())

    def close(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes the thread; closing alone does not
        self._server.close()

    def _answer(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._server.accept()
                with suppress(OSError), connection:  # who asked has gone
                    connection.sendall(self._peer.token.encode())


def lost(peers: Mapping[int, Peer]) -> dict[int, Peer]:
    """Those of the ranks that do not answer."""
    if not peers:
        return {}
    with ThreadPoolExecutor(len(peers)) as pool:
        answers = pool.map(lambda peer: peer.is_alive, peers.values())
        return {rank: peer for (rank, peer), alive in zip(peers.items(), answers, strict=True) if not alive}


def _own_address() -> str:
    """The address by which this host reaches the place of the meeting: by it the others reach this host."""
    meeting = socket.getaddrinfo(os.environ["MASTER_ADDR"], 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(meeting[0], socket.SOCK_DGRAM) as probe:
        probe.connect(meeting[4])  # sends nothing
        return str(probe.getsockname()[0])

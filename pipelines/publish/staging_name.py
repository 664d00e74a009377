"""Names of staging folders, with the version, host and process that write or remove it.

They distinguish leftovers from work in progress, on every kind of store.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import psutil

from millstream.tracking.host.processes import living

STAGING = ".staging-"
LEFTOVER_HOURS = 48
"""Age without a heartbeat after which work of another host is a leftover: its process cannot be checked from here."""


class Mark(NamedTuple):
    """`.staging-<version>-<host>-<pid>-<start time of the process>-<token>`; the token is unique."""

    version: str
    host: str
    pid: int
    started: int
    token: str

    @classmethod
    def mine(cls, version: str) -> Self:
        pid = os.getpid()
        started = int(psutil.Process(pid).create_time())
        return cls(version, socket.gethostname(), pid, started, uuid.uuid4().hex[:8])

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """The mark parsed from the name of a file or folder; None if it has none."""
        version, _, rest = name.removeprefix(STAGING).partition("-")
        parts = rest.rsplit("-", 3)
        if not name.startswith(STAGING) or len(parts) != 4 or not (parts[1].isdecimal() and parts[2].isdecimal()):
            return None
        return cls(version, parts[0], int(parts[1]), int(parts[2]), parts[3])

    def __str__(self) -> str:
        return STAGING + "-".join(map(str, self))

    def is_left(self, touched: float) -> bool:
        """Whether its process has ended; on another host, whether `touched` (seconds since 1970) is too long ago."""
        if self.host != socket.gethostname():
            return time.time() - touched > LEFTOVER_HOURS * 3600
        process = living(self.pid)
        return process is None or int(process.create_time()) != self.started


def left_in(folder: Path) -> Iterator[Path]:
    """Leftovers of dead processes in a local folder."""
    for path in folder.glob(f"{STAGING}*"):
        mark = Mark.parse(path.name)
        try:
            if mark is not None and mark.is_left(path.stat().st_mtime):
                yield path
        except FileNotFoundError:
            continue  # removed meanwhile by another process

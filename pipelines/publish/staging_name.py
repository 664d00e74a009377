"""The name of what is being written or removed: for which version, and by which process of which host.

By it a leftover is known from work in progress, on every kind of store.
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
"""When what another host has not touched for so long counts as left over: only it could tell for sure."""


class Mark(NamedTuple):
    """`.staging-<version>-<host>-<pid>-<when the process began>-<token>`; the token is of this work alone."""

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
        """The mark in the name of a file or folder, if there is one."""
        version, _, rest = name.removeprefix(STAGING).partition("-")
        parts = rest.rsplit("-", 3)
        if not name.startswith(STAGING) or len(parts) != 4 or not (parts[1].isdecimal() and parts[2].isdecimal()):
            return None
        return cls(version, parts[0], int(parts[1]), int(parts[2]), parts[3])

    def __str__(self) -> str:
        return STAGING + "-".join(map(str, self))

    def is_left(self, touched: float) -> bool:
        """Whether its process is gone; of another host's whether it was last touched (seconds since 1970) long ago."""
        if self.host != socket.gethostname():
            return time.time() - touched > LEFTOVER_HOURS * 3600
        process = living(self.pid)
        return process is None or int(process.create_time()) != self.started


def left_in(folder: Path) -> Iterator[Path]:
    """What dead processes left in a folder of this machine."""
    for path in folder.glob(f"{STAGING}*"):
        mark = Mark.parse(path.name)
        try:
            if mark is not None and mark.is_left(path.stat().st_mtime):
                yield path
        except FileNotFoundError:
            continue  # another process was faster

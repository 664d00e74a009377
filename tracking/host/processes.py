"""Process liveness on this host."""

from __future__ import annotations

import psutil


def living(pid: int) -> psutil.Process | None:
    """The process with this pid; None if it has ended, or is a zombie."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None

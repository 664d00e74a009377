"""Which processes of this machine are alive."""

from __future__ import annotations

import psutil


def living(pid: int) -> psutil.Process | None:
    """The process of this number; None when it has ended, also where its parent has not noticed (a zombie)."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None

"""Detects a full disk behind any error, and reports the missing bytes."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from millstream.tracking.errors import BadEnvironment, Refusal, causes

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MESSAGES = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "database or disk is full")
"""Messages of the operating system, which libraries copy into their own errors, and of SQLite."""


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or one of its causes, is due to a full disk."""
    return any(_is_of_full_disk(cause) for cause in causes(error))


def no_room(folder: Path, wanted: int, setting: str = "MILLSTREAM_HOME") -> str:
    """Message with the missing bytes on a folder's disk; `setting` would move it to another disk."""
    free = shutil.disk_usage(folder).free
    message = f"there is no room: {wanted} bytes to write, {free} are free, {max(0, wanted - free)} are missing"
    return f"{message}; make room, or set {setting} to another disk"


def refusal(error: BaseException, home: Path) -> Refusal:
    """Error for a command that failed on a full disk, unless it was reported closer to the file."""
    named = [cause.filename for cause in causes(error) if isinstance(cause, OSError) and cause.filename]
    free = shutil.disk_usage(home).free if home.exists() else 0
    message = f"the disk is full: {free} bytes are free for what {home} holds"
    return BadEnvironment.at(
        named[0] if named else home,
        f"{message}; make room, or set MILLSTREAM_HOME to another disk, and give the same command",
    )


def _is_of_full_disk(error: BaseException) -> bool:
    return (isinstance(error, OSError) and error.errno in FULL) or any(message in str(error) for message in _MESSAGES)

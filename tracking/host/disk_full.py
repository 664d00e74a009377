"""A disk that is full: known in whatever error it comes as, and told with what is missing."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from millstream.tracking.errors import BadEnvironment, Refusal, causes

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TOLD = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "database or disk is full")
"""The system's words, which others pass on in errors of their own, and SQLite's."""


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that there is no room."""
    return any(_says_full(one) for one in causes(error))


def no_room(folder: Path, wanted: int, setting: str = "MILLSTREAM_HOME") -> str:
    """How many bytes are missing on the disk of a folder, which `setting` would put elsewhere."""
    free = shutil.disk_usage(folder).free
    told = f"there is no room: {wanted} bytes to write, {free} are free, {max(0, wanted - free)} are missing"
    return f"{told}; make room, or set {setting} to another disk"


def refusal(error: BaseException, home: Path) -> Refusal:
    """What a command that broke off since there was no room says, where nobody nearer to the file has said it."""
    named = [one.filename for one in causes(error) if isinstance(one, OSError) and one.filename]
    free = shutil.disk_usage(home).free if home.exists() else 0
    told = f"the disk is full: {free} bytes are free for what {home} holds"
    return BadEnvironment.at(
        named[0] if named else home,
        f"{told}; make room, or set MILLSTREAM_HOME to another disk, and give the same command",
    )


def _says_full(error: BaseException) -> bool:
    return (isinstance(error, OSError) and error.errno in FULL) or any(told in str(error) for told in _TOLD)

"""Detects files without read or write permission behind any error, and reports their owner.

A home shared by a group works as long as each member's files are writable for the others (docs/setup.md).
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from millstream.tracking.errors import BadEnvironment, Refusal, causes

_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_SQLITE = ("attempt to write a readonly database", "unable to open database file")
"""Messages of SQLite, which name no file."""


def refusal(error: BaseException, store: Path | None) -> Refusal | None:
    """Error for a denied file; None if permissions are not the cause. `store` is the file of a SQLite store."""
    path = next(_denied(error, store), None)
    return None if path is None else BadEnvironment.at(path, denied(path))


def denied(path: Path) -> str:
    """Why a file (or its parent folder) cannot be used, with the remedy."""
    there = next((parent for parent in (path, *path.parents) if os.path.lexists(parent)), path)
    whose = "it belongs to" if there == path else f"{there} belongs to"
    message = f"{user(os.geteuid())} may not read and write it: {whose} {owner(there)}"
    return f"{message}; have its owner share it (chmod g+rwX, umask 002), or set MILLSTREAM_HOME to a folder of yours"


def owner(path: Path) -> str:
    """User, group and mode of a file: `ann:team, drwxr-xr-x`."""
    facts = path.lstat()
    group = _name(grp.getgrgid, facts.st_gid)
    return f"{user(facts.st_uid)}:{group}, {stat.filemode(facts.st_mode)}"


def user(number: int) -> str:
    return _name(pwd.getpwuid, number)


def is_writable(*paths: Path) -> bool:
    return all(os.access(path, os.W_OK, effective_ids=True) for path in paths)


def _denied(error: BaseException | None, store: Path | None) -> Iterator[Path]:
    """Files that the error and its causes report as denied."""
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in _DENIED and isinstance(cause.filename, str | Path):
            yield Path(cause.filename)
        elif store is not None and any(words in str(cause) for words in _SQLITE):
            yield store if store.exists() and not is_writable(store) else store.parent


def _name(look_up: Callable[[int], Any], number: int) -> str:
    """Name of a user or group; a container may not know those of its host."""
    try:
        return str(look_up(number)[0])
    except KeyError:
        return str(number)

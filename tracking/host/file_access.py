"""A file that this user may not read or write: recognised in whatever error it comes as, and reported with its owner.

A home that a group shares works as long as what one of them makes can be written by the others (docs/setup.md).
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
"""SQLite's words, which name no file."""


def refusal(error: BaseException, store: Path | None) -> Refusal | None:
    """What a command says that was denied a file; None when it was not. `store` is the file of a SQLite store."""
    path = next(_denied(error, store), None)
    return None if path is None else BadEnvironment.at(path, denied(path))


def denied(path: Path) -> str:
    """Why a file, or a folder that is to hold it, cannot be used, and what would do."""
    there = next((one for one in (path, *path.parents) if os.path.lexists(one)), path)
    whose = "it belongs to" if there == path else f"{there} belongs to"
    told = f"{user(os.geteuid())} may not read and write it: {whose} {owner(there)}"
    return f"{told}; have its owner share it (chmod g+rwX, umask 002), or set MILLSTREAM_HOME to a folder of yours"


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
    """The files that the error, and those that it came from, say may not be used."""
    for one in causes(error):
        if isinstance(one, OSError) and one.errno in _DENIED and isinstance(one.filename, str | Path):
            yield Path(one.filename)
        elif store is not None and any(words in str(one) for words in _SQLITE):
            yield store if store.exists() and not is_writable(store) else store.parent


def _name(look_up: Callable[[int], Any], number: int) -> str:
    """The name of a user or group; a container has no name for one of its host."""
    try:
        return str(look_up(number)[0])
    except KeyError:
        return str(number)

"""A bounded cache of verified copies of remote files, shared by all processes of a host.

`<sha256>.parquet` is a complete copy, `<sha256>.part` a download in progress, protected by a kernel file lock.
A process hard-links the files it uses into its own folder below `held/`; a file with a second link is never evicted.
The folder of a dead process is recognised by its released lock, and removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import threading
import uuid
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from millstream.tracking.errors import BadData, BadEnvironment
from millstream.tracking.host.disk_full import is_full, no_room
from millstream.tracking.host.file_lock import alone, is_at

LIMIT = "MILLSTREAM_CACHE_GIB"


@dataclass(frozen=True)
class Wanted:
    """A remote file identified by its content; `fetch` downloads its bytes."""

    sha256: str
    size: int
    where: str
    fetch: Callable[[], bytes]


@dataclass
class Cache:
    """Copies in `folder` of at most `limit` bytes in total; the least recently used is evicted first."""

    folder: Path
    limit: int
    _own: IO[str] | None = field(default=None, init=False, repr=False)
    _pid: int = field(default=0, init=False, repr=False)
    _uses: Counter[str] = field(default_factory=Counter, init=False, repr=False)
    _checked: set[str] = field(default_factory=set, init=False, repr=False)
    _counting: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def lend(self, wanted: Wanted) -> Path:
        """A local copy with a verified hash, kept until `release` was called as often, or the process ends.

        Raises BadData if other bytes arrive, BadEnvironment if there is no space.
        """
        sha256 = wanted.sha256
        with self._counting:
            self._held()
            self._uses[sha256] += 1
        try:
            while not self._linked(sha256):
                self._fetch(wanted)
            held = self._held() / _name(sha256)
            if sha256 not in self._checked and _sha256_of(held) != sha256:
                self._drop(sha256)  # corrupted since the download; fetch it again
                self._fetch(wanted)
                self._linked(sha256)
            self._checked.add(sha256)
            return held
        except BaseException:
            self.release(sha256)
            raise

    def release(self, sha256: str) -> None:
        """Release one use of the copy."""
        with self._counting:
            self._uses[sha256] -= 1
            if self._uses[sha256] <= 0:
                del self._uses[sha256]
                (self._held() / _name(sha256)).unlink(missing_ok=True)

    def _linked(self, sha256: str) -> bool:
        """Whether a copy exists; if so, it is now held by this process and marked as most recently used."""
        kept, held = self.folder / _name(sha256), self._held() / _name(sha256)
        with alone(self._lock):
            if not held.exists():
                try:
                    held.hardlink_to(kept)
                except FileNotFoundError:
                    return False
            os.utime(held)
        return True

    def _fetch(self, wanted: Wanted) -> None:
        """Download a copy, or wait until another process or thread has done so."""
        kept, part = self.folder / _name(wanted.sha256), self.folder / f"{wanted.sha256}.part"
        with _locked(part) as file:
            if not is_at(file, part):
                return  # the previous holder of the lock has moved the file into place
            if kept.exists():
                part.unlink()
                return
            try:
                with alone(self._lock):
                    self._make_room(wanted.size)
                    file.truncate(wanted.size)
                content = wanted.fetch()
                _compare(content, wanted)
                file.write(content)
                file.flush()
                part.rename(kept)
            except OSError as error:
                part.unlink(missing_ok=True)
                if is_full(error):
                    raise BadEnvironment.at(kept, no_room(self.folder, wanted.size)) from error
                raise
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        self._checked.add(wanted.sha256)

    def _make_room(self, wanted: int) -> None:
        """Evict the least recently used copies as needed; the caller holds the lock."""
        _sweep(self.folder / "held")
        files = []
        for path in self.folder.glob("*.pa*"):
            with suppress(FileNotFoundError):  # a `.part` file may just have been renamed
                facts = path.stat()
                files.append((facts.st_mtime_ns, facts.st_size, path, facts.st_nlink > 1))
        total = sum(size for _, size, _, _ in files)
        for _, size, path, in_use in sorted(files, key=lambda file: file[0]):
            if total + wanted <= self.limit:
                return
            if not in_use and _removed(path):
                total -= size
        if total + wanted > self.limit:
            message = f"{total} bytes are in use of {self.limit} that are allowed, {wanted} more are needed"
            raise BadEnvironment.at(self.folder, f"{message}; set {LIMIT} higher")

    def _drop(self, sha256: str) -> None:
        with alone(self._lock):
            (self.folder / _name(sha256)).unlink(missing_ok=True)
            (self._held() / _name(sha256)).unlink(missing_ok=True)

    def _held(self) -> Path:
        """Folder of the files that this process uses; a forked child gets its own."""
        if self._own is None or self._pid != os.getpid():
            folder = self.folder / "held" / uuid.uuid4().hex
            with alone(self._lock):  # nobody may see the folder before it is locked
                folder.mkdir(parents=True)
                self._own = (folder / "lock").open("w")
                fcntl.flock(self._own, fcntl.LOCK_EX)
            self._pid = os.getpid()
            self._uses = Counter()
            weakref.finalize(self, _leave, folder, self._pid)
        return Path(self._own.name).parent

    @property
    def _lock(self) -> Path:
        return self.folder / ".lock"


def _name(sha256: str) -> str:
    return f"{sha256}.parquet"


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _compare(content: bytes, wanted: Wanted) -> None:
    digest = hashlib.sha256(content).hexdigest()
    if len(content) != wanted.size or digest != wanted.sha256:
        message = f"{len(content)} bytes, sha256 {digest[:12]}; the manifest has {wanted.size} bytes, "
        message += f"{wanted.sha256[:12]}: the shard was changed or damaged, delete the version and prepare it again"
        raise BadData.at(wanted.where, message)


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    with os.fdopen(descriptor, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _removed(path: Path) -> bool:
    """Remove a copy, or an abandoned `.part` file; returns whether it is gone."""
    if path.suffix == ".part":
        with _unless_held(path) as free:
            if free:
                path.unlink(missing_ok=True)  # under the lock, so that waiters see that it is gone
            return free
    path.unlink()
    return True


@contextmanager
def _unless_held(lock: Path) -> Iterator[bool]:
    """Whether no living process holds the lock; it is held meanwhile."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
    except BlockingIOError:
        yield False
    except FileNotFoundError:
        yield True


def _sweep(held: Path) -> None:
    """Remove the folders of dead processes."""
    for folder in held.iterdir() if held.is_dir() else ():
        with _unless_held(folder / "lock") as free:
            if free:
                shutil.rmtree(folder, ignore_errors=True)


def _leave(folder: Path, pid: int) -> None:
    if os.getpid() == pid:  # a forked child must not remove its parent's folder
        shutil.rmtree(folder, ignore_errors=True)

"""Uploads checkpoints in the background: training waits for its last one only."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from millstream.tracking.dataset.filesystems import Remote, answering
from millstream.tracking.errors import BadEnvironment
from millstream.training.checkpoints import archive, remote_copies

PAUSE_S = 2.0
"""Pause after an attempt that failed."""
LAST_TRIES = 3
"""Attempts after the end of training, while the store fails."""


class Uploads:
    """As a context it uploads what is added, and ends when the newest state has arrived.

    A state that a newer one has overtaken is left out. Best weights precede the states saved after them, so that the
    store never has a state without its best weights. Without a store nothing is done.
    """

    def __init__(self, copies: Remote | None, keep: int, check: Callable[[], None] = lambda: None) -> None:
        """`keep` is the number of states that stay in the store; `check` raises BadEnvironment when this process must
        not write to the run any more."""
        self.copies, self.keep, self._check = copies, keep, check
        self._waiting: dict[str, Path] = {}
        """The newest best weights and the newest state that have not arrived."""
        self._changed = threading.Condition()
        self._has_ended = False
        self._failure: BadEnvironment | None = None
        """The last error of the store, None after a success."""
        self._thread = threading.Thread(target=self._run, name="uploads", daemon=True)

    def add(self, path: Path) -> None:
        """Upload a file of the run's folder soon; returns at once."""
        with self._changed:
            self._waiting["best" if path.name == archive.BEST else "state"] = path
            self._changed.notify()

    def __enter__(self) -> Self:
        if self.copies is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raises BadEnvironment when the newest state has not arrived, though training has ended well."""
        if self.copies is None:
            return
        with self._changed:
            self._has_ended = True
            self._changed.notify()
        self._thread.join()
        if self._failure is None:
            return
        kept = " and ".join(str(path) for path in self._waiting.values())
        missing = BadEnvironment.at(
            self._failure.faults[0].where, f"{self._failure.faults[0].message}; {kept} is kept: resume on this host"
        )
        if error is None:
            raise missing from self._failure
        _say(str(missing))

    def _run(self) -> None:
        tries = LAST_TRIES
        while tries:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._has_ended)
                taken, self._waiting = self._waiting, {}
            if not taken:
                return
            try:
                self._check()
                for name in ("best", "state"):
                    if name in taken:
                        self._upload(taken[name])
                        del taken[name]
                self._failure = None
            except BadEnvironment as error:
                if self._failure is None:
                    _say(f"{error}; training continues, and the upload is tried again")
                self._failure = error
                with self._changed:
                    self._waiting = {**taken, **self._waiting}
                tries -= self._has_ended
                time.sleep(PAUSE_S)

    def _upload(self, path: Path) -> None:
        copy = Remote(f"{self.copies}/{path.name}")
        try:
            with answering(str(copy)):
                # an object of S3 appears when all of it has arrived, or not at all
                copy.system.put_file(str(path), str(copy))
                for old in remote_copies.newest_first(self.copies)[self.keep :]:
                    copy.system.rm_file(f"{self.copies}/{old}")
        except FileNotFoundError as error:
            if path.exists():  # otherwise removed here, because there are newer ones
                message = f"there is no such place ({error}); make the bucket, or correct MILLSTREAM_CHECKPOINTS"
                raise BadEnvironment.at(copy, message) from None


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")

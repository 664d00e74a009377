"""A watchdog timer: ends this process when it has not ended, or gone on, by itself.

Some waits inside libraries have no time-out that holds: torch's store, once the host that it lies on has lost its
power, waits until the kernel gives the connection up, which takes a quarter of an hour.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from millstream.tracking.errors import Refusal
from millstream.tracking.host.terminal_text import printable


def start(seconds: float, refusal: Refusal) -> threading.Timer:
    """After so many seconds the process ends with what `refusal` says and its exit code, unless it is cancelled."""
    timer = threading.Timer(seconds, _end, [refusal])
    timer.daemon = True
    timer.start()
    return timer


@contextmanager
def limit(seconds: float, refusal: Refusal) -> Iterator[None]:
    """What is inside takes no longer."""
    timer = start(seconds, refusal)
    try:
        yield
    finally:
        timer.cancel()


def _end(refusal: Refusal) -> None:
    for fault in refusal.faults:
        sys.stderr.write(f"{printable(str(fault))}\n")
    sys.stderr.flush()
    os._exit(refusal.exit_code)  # no clean-up: that is where it hangs

"""Watchdog timer: ends this process when it hangs.

Some waits inside libraries ignore their timeout: torch's store, once its host has lost power, waits until the kernel
drops the connection, which takes a quarter of an hour.
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
    """A timer that, unless cancelled, ends the process after `seconds` with the faults and exit code of `refusal`."""
    timer = threading.Timer(seconds, _end, [refusal])
    timer.daemon = True
    timer.start()
    return timer


@contextmanager
def limit(seconds: float, refusal: Refusal) -> Iterator[None]:
    """Ends the process when the body takes longer than `seconds`."""
    timer = start(seconds, refusal)
    try:
        yield
    finally:
        timer.cancel()


def _end(refusal: Refusal) -> None:
    for fault in refusal.faults:
        sys.stderr.write(f"{printable(str(fault))}\n")
    sys.stderr.flush()
    os._exit(refusal.exit_code)  # no clean-up, which would hang

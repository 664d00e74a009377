"""Sends a signal again that Python dropped.

An exception that a signal handler raises while a weakref callback or `__del__` runs is printed and ignored: the command
would continue as if nobody had pressed Ctrl-C. py4j has such a callback for each object of Java that is collected.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from millstream.tracking.errors import Terminated

AGAIN_AFTER_S = 0.05
"""Until the callback has ended."""


def send_again() -> None:
    """From now on, a Ctrl-C or SIGTERM that arrives in such a callback arrives once more."""
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            before(unraisable)
            return
        number = signal.SIGTERM if isinstance(unraisable.exc_value, Terminated) else signal.SIGINT
        # by another thread: an exception in this hook would be dropped, too
        again = threading.Timer(AGAIN_AFTER_S, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()

    sys.unraisablehook = hook

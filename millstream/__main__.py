"""The command with all of its verbs; each file of `verbs/` registers itself.

Packages are imported when a verb needs them, so that `--help` does not wait for Spark, torch and MLflow.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import os
import signal
import sys
from typing import NoReturn

from millstream.tracking.errors import Terminated
from millstream.tracking.host import dropped_interrupts
from millstream.tracking.recipe import plugins
from millstream.verbs.terminal.cli import cli

VERBS = "millstream.verbs"

for name in plugins.names(VERBS):
    if "/" not in name:
        importlib.import_module(f"{VERBS}.{name}")


def main() -> None:
    """Entry point of the console script."""
    signal.signal(signal.SIGTERM, _terminate)
    dropped_interrupts.send_again()
    # skip the garbage collection at exit: with torch and MLflow it takes 1.4 of 1.7 s, in which no signal is handled
    atexit.register(gc.freeze)
    # spin time of idle threads (docs/decisions/005-threads-and-memory.md); torch reads it once
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack characters of data or recipes
    cli(prog_name="millstream")


def _terminate(number: int, frame: object) -> NoReturn:
    raise Terminated


if __name__ == "__main__":
    main()

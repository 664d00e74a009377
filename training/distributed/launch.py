"""Launches the ranks of one host with torch's elastic agent, which stops all of them when one fails."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std, api
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from millstream.tracking.errors import BadEnvironment, Ended
from millstream.tracking.settings import LOOPBACK

SHUTDOWN_S = 15
"""Grace period for ranks to save a checkpoint after a termination signal."""


def launch(words: list[str], ranks: int) -> tuple[Any, int]:
    """Run `millstream WORDS --json` in `ranks` processes; return rank 0's answer and exit code.

    Raises Ended when the ranks refused, failed or were stopped, and BadEnvironment naming a rank that died.
    """
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // ranks)))
    with tempfile.TemporaryDirectory(prefix="millstream-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=ranks,
            run_id="millstream",
            rdzv_backend="c10d",
            rdzv_endpoint=f"{LOOPBACK}:0",
            local_addr=LOOPBACK,
            max_restarts=0,
            shutdown_timeout=SHUTDOWN_S,
            logs_specs=DefaultLogsSpecs(log_dir=folder, redirects=Std.OUT),
        )
        try:
            elastic_launch(config, sys.executable)("-m", "millstream", *words, "--json")
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            return _ended(_answer(Path(folder), rank), failure.exitcode, f"rank {rank} of {ranks}")
        except api.SignalException as stopped:
            raise Ended(_answer(Path(folder), 0) or {}, 128 + int(stopped.sigval)) from None
        return _answer(Path(folder), 0), 0


def _ended(answer: Any, code: int, who: str) -> tuple[Any, int]:
    """The answer of a rank that exited with `code`. Raises Ended with its faults, BadEnvironment without an answer."""
    if code < 0 or answer is None:
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code} and without a word"
        raise BadEnvironment.at(who, f"{how}; the last checkpoint is kept, resume with any number of ranks")
    if "error" in answer:
        raise Ended(answer, code)
    return answer, code


def _answer(folder: Path, rank: int) -> Any:
    """The last JSON line that a rank wrote, or None."""
    for file in sorted(folder.glob(f"*/attempt_0/{rank}/stdout.log")):
        lines = file.read_text(encoding="utf-8").splitlines()
        if lines:
            return json.loads(lines[-1])
    return None

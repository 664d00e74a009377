"""The command in a process of its own, forked or started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.forkserver import ROOT, Forked, python

WITHIN_S = 400


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if name not in ("MILLSTREAM_STORE", "MLFLOW_TRACKING_URI")
    }
    return {**kept, "MILLSTREAM_HOME": str(home), "OMP_NUM_THREADS": "1", **more}


def started(home: Path, *words: str, cwd: Path = ROOT, **more: str) -> Forked:
    return python("-m", "millstream", *words, "--json", cwd=cwd, env=environment(home, **more))


def started_afresh(home: Path, *words: str, cwd: Path = ROOT, **more: str) -> subprocess.Popen[str]:
    """The command as its users call it, with all that it imports."""
    command = [sys.executable, "-m", "millstream", *words, "--json"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": cwd}
    return subprocess.Popen(command, env=environment(home, **more), **pipes)


def answer(process: Forked | subprocess.Popen[str], code: int = 0) -> dict[str, Any]:
    """The JSON of a command that ends with `code`."""
    out, err = process.communicate(timeout=WITHIN_S)
    assert process.returncode == code, f"ended with {process.returncode}\n{err[-3000:]}"
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return {**found, "stderr": err}


def completed(home: Path, *words: str, code: int = 0, cwd: Path = ROOT, **more: str) -> dict[str, Any]:
    """The answer of a command that has ended."""
    return answer(started(home, *words, cwd=cwd, **more), code)


def wait_for(process: Forked, home: Path, pattern: str, count: int = 1) -> Path:
    """A file that matches below `home`, when there are `count` of them, while the process runs."""
    end = time.monotonic() + WITHIN_S
    while time.monotonic() < end:
        found = list(home.glob(pattern))
        if len(found) >= count:
            return found[0]
        assert process.poll() is None, f"ended before {pattern} was there\n{process.communicate()[1][-3000:]}"
        time.sleep(0.02)
    raise AssertionError(f"no {pattern} within {WITHIN_S} s")

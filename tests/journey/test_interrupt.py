"""Ctrl-C in a terminal reaches the command, Java and the workers at once, and ends them all at whatever moment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from millstream.tracking.dataset.version import versions
from tests.journey.command import ROOT, WITHIN_S, environment

DATA = ("cnn/lenet-digits", "--set", "data.source.limit=300", "--json")


def terminal(home, *words):
    """The command in a process group of its own, in which Ctrl-C is not ignored."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT, "env": environment(home)}
    command = [sys.executable, "-m", "millstream", *words]
    return subprocess.Popen(
        command, start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **pipes
    )


def members(group):
    """The processes of a group that have not ended."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


@pytest.mark.fault
@pytest.mark.spark
def test_ctrl_c_during_a_preparation_is_reported_without_a_trace_and_leaves_nothing(tmp_path, soak):
    generator = random.Random(0)
    moments = [("prepare", "split:", 0.0, signal.SIGINT)]
    if soak:
        moments += [
            (verb, line, generator.uniform(0, 3), number)
            for number in (signal.SIGINT, signal.SIGTERM)
            for verb in ("prepare", "run")
            for line in ("split:", "scale:") * 3
        ]
    for at, (verb, line, delay_s, number) in enumerate(moments):
        home = Path(tmp_path / str(at))
        process = terminal(home, verb, *DATA)
        logged = ""
        while not logged.startswith(line):
            logged = process.stderr.readline()
            assert logged, f"ended before {line}"
        time.sleep(delay_s)
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=WITHIN_S)
        assert (process.returncode, json.loads(out)) == (128 + number, {"error": "stopped", "exit": 128 + number}), err[
            -3000:
        ]
        assert err.splitlines()[-1] == "stopped"
        assert "Traceback" not in err
        assert list(versions(str(home / "datasets"), "digits")) == []
        end = time.monotonic() + 20  # Java ends when it sees that nobody calls it any more
        while members(process.pid) and time.monotonic() < end:
            time.sleep(0.1)
        assert members(process.pid) == []

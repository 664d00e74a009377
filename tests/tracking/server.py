"""A real MLflow server on loopback, to be stopped and started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests import shortcuts
from tests.forkserver import Forked, python

STARTS_WITHIN_S = 120
FORKED = """
import os, sys, uvicorn
log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.dup2(log, 1), os.dup2(log, 2)
uvicorn.run("mlflow.server.fastapi_app:app", host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
"""
"""The worker that `mlflow server` starts, in a process that has MLflow already: 1.5 CPU seconds in place of 5."""


class Server:
    """Serves a SQLite store in `folder`; `stop` and `start` keep port and store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: Forked | subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = self._forked() if shortcuts.ARE_TAKEN else self._started()
        end = time.monotonic() + STARTS_WITHIN_S
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
            assert time.monotonic() < end, "the server did not start"
            time.sleep(0.2)

    def _forked(self) -> Forked:
        environment = {  # as `mlflow server` sets it for its workers
            **os.environ,
            "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{self.folder / 'server.db'}",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(self.folder / "artifacts"),
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "_MLFLOW_SGI_NAME": "uvicorn",
        }
        return python("-c", FORKED, str(self.port), str(self.folder / "server.log"), env=environment)

    def _started(self) -> subprocess.Popen[bytes]:
        store = f"sqlite:///{self.folder / 'server.db'}"
        options = ["--backend-store-uri", store, "--artifacts-destination", str(self.folder / "artifacts")]
        options += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        log = (self.folder / "server.log").open("ab")
        command = [sys.executable, "-m", "mlflow", "server", *options]
        # nobody sends jobs, and seven processes would wait for them, which import MLflow each
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    def stop(self) -> None:
        """As a crash would: at once, with all of its workers."""
        if self.process is not None:
            self._signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Take connections, and answer none."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if isinstance(self.process, Forked):
            self.process.send_signal(number)
        elif self.process is not None:
            os.killpg(self.process.pid, number)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                return True
        except (OSError, urllib.error.URLError):
            return False

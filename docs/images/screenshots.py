"""Takes screenshots of MLflow's pages of the newest run in each experiment, as a reviewer's browser shows them.

    python docs/images/screenshots.py MILLSTREAM_HOME FOLDER [--browser chromium]

Starts the UI on a free port of loopback and chromium without a window; both end with the script.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from millstream.tracking.runs.mlflow_store import open_store
from millstream.tracking.settings import Settings

WAIT_S, LOAD_MS = 60, 20_000
WIDTH, HEIGHT = 1440, 1100
TRAINING = "?workflowType=machine_learning"
"""Without it, a browser that was never here opens MLflow's pages about language models."""


def pages(client: Any) -> Iterator[tuple[str, str]]:
    """Name and address of each page: experiments; of the newest run of each overview, figures and tables; models."""
    yield "experiments", "experiments"
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id], max_results=1):
            name, at = (
                experiment.name.replace("/", "."),
                f"experiments/{experiment.experiment_id}/runs/{run.info.run_id}",
            )
            yield f"{name}-run", at
            for folder in ("figures", "tables"):
                for item in client.list_artifacts(run.info.run_id, folder):
                    yield f"{name}-{folder}-{Path(item.path).stem}", f"{at}/artifacts/{item.path}"
    for model in client.search_registered_models():
        yield f"{model.name}-model", f"models/{model.name}"


def take(browser: str, address: str, file: Path) -> None:
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={profile}", f"--window-size={WIDTH},{HEIGHT}"]
        command += [f"--virtual-time-budget={LOAD_MS}", f"--screenshot={file}", address]
        subprocess.run(command, check=True, timeout=2 * WAIT_S, capture_output=True)


def serving(home: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "millstream", "ui", "--port", str(port)]
    process = subprocess.Popen(
        command,
        env={**os.environ, "MILLSTREAM_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                return process
        except OSError:
            time.sleep(0.5)
    end(process)
    raise SystemExit(f"the UI did not answer within {WAIT_S} s")


def end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, 15)
    process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--browser", default="chromium")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = open_store(Settings.read({"MILLSTREAM_HOME": str(given.home.resolve())}))
    process = serving(given.home.resolve(), port)
    try:
        for name, page in pages(client):
            file = given.folder / f"{name}.png"
            take(given.browser, f"http://127.0.0.1:{port}/#/{page}{TRAINING}", file)
            print(file)
    finally:
        end(process)


if __name__ == "__main__":
    main()

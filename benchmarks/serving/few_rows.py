"""What few rows cost: a request of one row by REST, and `millstream score` of three rows.

    python -m benchmarks.serving.few_rows MODEL [--requests N] [--rounds N]

The rows are those of the model's input example. Milliseconds of a request are those on the clock of a client on this
machine, over one connection; CPU milliseconds are those of the server. CPU seconds of `score` are those of the command
from its start to its end, the lowest of the rounds.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.preparation.process import machine
from millstream.tracking.runs import model_logging
from millstream.tracking.settings import Settings

COMMAND = (sys.executable, "-m", "millstream")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    model = model_logging.describe(options.model, Settings.read(os.environ))
    example = json.loads((model.folder / "input_example.json").read_text())
    binary = [name for name, kind in model.inputs.items() if kind == "binary"]
    rows = [{name: bytes(value) if name in binary else value for name, value in row.items()} for row in example]
    requests = answered(options.model, rows[0], options.requests)
    print(json.dumps({"model": options.model, **requests, "machine": machine()}))
    seconds = [scored(options.model, (rows * 3)[:3]) for _ in range(options.rounds)]
    print(json.dumps({"model": options.model, "score of 3 rows, CPU s": min(seconds), "all": seconds}))


def answered(model: str, row: dict[str, Any], requests: int) -> dict[str, float]:
    """Milliseconds of a request: median and 95 %, on the clock, and of the server's processor."""
    values = {name: base64.b64encode(one).decode() if isinstance(one, bytes) else one for name, one in row.items()}
    body, headers = json.dumps({"rows": [values]}), {"Content-Type": "application/json"}
    words = [*COMMAND, "serve", model, "--port", "0", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = urlsplit(json.loads(server.stdout.readline())["url"])
            client = http.client.HTTPConnection(str(url.hostname), url.port)
            took = []
            for at in range(requests + 20):
                if at == 20:  # the first ones compile, and load what is loaded late
                    before = sum(psutil.Process(server.pid).cpu_times()[:2])
                began = time.perf_counter()
                client.request("POST", "/predict", body, headers)
                answer = client.getresponse()
                content = answer.read()
                took.append(1000 * (time.perf_counter() - began))
                if answer.status != 200:
                    raise SystemExit(content.decode())
            cpu_s = sum(psutil.Process(server.pid).cpu_times()[:2]) - before
        finally:
            server.send_signal(signal.SIGINT)
    kept = sorted(took[20:])
    return {
        "median ms": round(statistics.median(kept), 2),
        "95 % ms": round(kept[int(0.95 * len(kept))], 2),
        "CPU ms": round(1000 * cpu_s / requests, 2),
    }


def scored(model: str, rows: list[dict[str, Any]]) -> float:
    """CPU seconds of the command."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "rows.parquet"
        pq.write_table(pa.Table.from_pylist(rows), source)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*COMMAND, "score", model, str(source), f"{folder}/scored"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2)


if __name__ == "__main__":
    main()

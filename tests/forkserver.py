"""Runs Python in processes forked from one that has imported Millstream, which takes 5 CPU seconds each time.

They are processes as any other: with an environment, a folder and signals of their own, they can be killed, and they
end as Python does. What they do not show is that Millstream can be started at all.
"""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
IMPORTED = (
    "millstream.__main__",
    "millstream.experiments.nested_runs",
    "millstream.pipelines.score",
    "millstream.pipelines.spark.distributed_training",
    "millstream.training.loop.entry_point",
    "millstream.training.loop.resume",
    "matplotlib.backends.backend_agg",
    "sklearn.metrics",
)
READ_ONCE = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
"""Variables that torch reads when it is imported."""


def python(*words: str, cwd: Path = ROOT, env: Mapping[str, str] = os.environ) -> Forked:
    """`python WORDS`, which begin with `-m MODULE` or `-c CODE`."""
    return Forked(_server(), Command(words, str(cwd), dict(env)))


class ForkServer:
    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair()
        command = [sys.executable, "-m", "tests.forkserver", str(theirs.fileno())]
        with theirs:
            # a pipe, as stdout of each command will be, which Python finds out when it starts
            subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **READ_ONCE}, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE
            )

    def fork(self, command: Command, fds: Sequence[int]) -> int:
        """The process id of a command; its stdout, stderr and exit code go to the three `fds`."""
        content = json.dumps(command).encode()
        socket.send_fds(self._channel, [len(content).to_bytes(4, "big")], list(fds))
        self._channel.sendall(content)
        return int.from_bytes(_received(self._channel, 4), "big")


class Command(NamedTuple):
    words: Sequence[str]
    cwd: str
    environment: dict[str, str]


class Forked:
    """A running process: as much of Popen as tests use."""

    def __init__(self, server: ForkServer, command: Command) -> None:
        (out, to_out), (err, to_err), (self._ended, to_ended) = os.pipe(), os.pipe(), os.pipe()
        self.pid = server.fork(command, (to_out, to_err, to_ended))
        for given in (to_out, to_err, to_ended):
            os.close(given)
        self.stdout, self.stderr = os.fdopen(out, encoding="utf-8"), os.fdopen(err, encoding="utf-8")
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self.wait(0)

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code, negative for a signal; None when the process runs for longer than `timeout` seconds."""
        if self.returncode is None and select.select([self._ended], [], [], timeout)[0]:
            self.returncode = int(os.read(self._ended, 8))
            os.close(self._ended)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What is left to read, once the process has ended. Kills it after `timeout` seconds."""
        with futures.ThreadPoolExecutor(2) as pool, self.stdout, self.stderr:
            reading = [pool.submit(stream.read) for stream in (self.stdout, self.stderr)]
            if futures.wait(reading, timeout).not_done:
                self.kill()
            out, err = (one.result() for one in reading)
        self.wait()
        return out, err

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@functools.cache
def _server() -> ForkServer:
    return ForkServer()


def _received(channel: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        more = channel.recv(size - len(content))
        if not more:
            raise EOFError
        content += more
    return content


def serve(channel: socket.socket) -> tuple[Command, list[int]] | None:
    """Fork a command for each request; returns in the forked process, and at the end of all requests."""
    running: dict[int, int] = {}
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([channel, woken], [], [])
        if woken in ready:
            os.read(woken, 512)
            for pid in [pid for pid in running if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)]:
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                os.write(running[pid], str(code).encode())
                os.close(running.pop(pid))
        if channel in ready:
            size, fds, _, _ = socket.recv_fds(channel, 4, 3)
            if not size:
                return None
            command = Command(*json.loads(_received(channel, int.from_bytes(size, "big"))))
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for own in (channel.detach(), woken, wake, *running.values()):
                    os.close(own)
                return command, fds
            channel.sendall(pid.to_bytes(4, "big"))
            for given in fds[:2]:
                os.close(given)
            running[pid] = fds[2]


def main(channel: socket.socket) -> None:
    before = dict(os.environ)
    for name in IMPORTED:
        importlib.import_module(name)
    imported = {name: value for name, value in os.environ.items() if name not in before}
    gc.freeze()  # nothing that was imported is copied because its marks are touched
    request = serve(channel)
    if request is None:
        return
    command, (out, err, ended) = request
    os.dup2(out, 1)
    os.dup2(err, 2)
    for given in (out, err, ended):
        os.close(given)
    os.chdir(command.cwd)
    os.environ.clear()
    os.environ.update({**imported, **command.environment})
    option, program, *words = command.words
    sys.argv = [option, *words]
    if option == "-m":
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        exec(program, {"__name__": "__main__"})


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))

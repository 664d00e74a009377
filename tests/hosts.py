"""Several hosts on one machine: each has a network, a name and a disk of its own, joined by a switch. Needs root.

A host is a network namespace with an address; what runs there sees, by namespaces of its own, the host's name, its
`/etc/hosts`, and its disk at a path that is the same on all hosts. Everything else of the file system is shared.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests import shortcuts
from tests.forkserver import Forked, python
from tests.journey.command import ROOT

SUBNET = "10.99.0"
ENTER = 'hostname "$1" && mount --bind "$2" "$3" && mount --bind "$4" /etc/hosts && shift 4 && exec "$@"'
INSIDE = """
import ctypes, os, runpy, socket, subprocess, sys
namespace, name, *mounts = sys.argv[1:6]
network, hostname, mount = 0x40000000, 0x04000000, 0x00020000
libc = ctypes.CDLL(None, use_errno=True)
if libc.setns(os.open(f"/run/netns/{namespace}", os.O_RDONLY), network) or libc.unshare(hostname | mount):
    raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
socket.sethostname(name)
commands = [["--make-rprivate", "/"], ["--bind", *mounts[:2]], ["--bind", mounts[2], "/etc/hosts"]]
for words in commands:
    subprocess.run(["mount", *words], check=True)
sys.argv[1:] = sys.argv[6:]
runpy.run_module("millstream", run_name="__main__", alter_sys=True)
"""
"""The command in a forked process, which enters a host's namespaces first."""
END_WITHIN_S = 30


def can_be_made() -> bool:
    """Whether this user may make namespaces, and has iproute2."""
    wanted = ["unshare", "--net", "--uts", "--mount", "true"]
    return bool(shutil.which("ip")) and subprocess.run(wanted, capture_output=True).returncode == 0


@dataclass
class Host:
    name: str
    address: str
    network: Network
    processes: list[subprocess.Popen[str] | Forked] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        return f"{self.network.tag}{self.name}"

    @property
    def disk(self) -> Path:
        """Where its disk lies for the tests, which are on no host; on the host it is at `Network.disk`."""
        return self.network.folder / f"disk of {self.name}"

    def start(
        self, words: Sequence[str], environment: Mapping[str, str], log: Path | None = None
    ) -> subprocess.Popen[str]:
        """What it prints goes into pipes, or into `log`."""
        enter = ["sh", "-c", ENTER, "sh", self.name, str(self.disk), str(self.network.disk), str(self.network.names)]
        inside = ["ip", "netns", "exec", self.namespace, "unshare", "--uts", "--mount", "--propagation", "private"]
        with log.open("w") if log else nullcontext(subprocess.PIPE) as out:
            err: Any = subprocess.STDOUT if log else out
            process = subprocess.Popen(
                [*inside, *enter, *words], env=dict(environment), cwd=ROOT, text=True, stdout=out, stderr=err
            )
        self.processes.append(process)
        return process

    def millstream(self, *words: str, **environment: str) -> subprocess.Popen[str] | Forked:
        """The command, with its home on the host's own disk."""
        environment = {"MILLSTREAM_HOME": str(self.network.disk / "home"), **environment}
        if shortcuts.ARE_TAKEN:
            place = (self.namespace, self.name, *map(str, (self.disk, self.network.disk, self.network.names)))
            process = python("-c", INSIDE, *place, *words, "--json", env={**os.environ, **environment})
            self.processes.append(process)
            return process
        words = (sys.executable, "-m", "millstream", *words, "--json")
        own = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}  # it has all cores
        return self.start(words, {**own, **environment})

    def cut(self) -> None:
        """From now on nothing that is sent arrives, on either side, and neither side is notified."""
        _ip("-n", self.network.switch, "link", "set", f"to-{self.name}", "down")

    def lose_power(self) -> None:
        """No process is left, and none of their connections were closed."""
        self.cut()
        self.end()

    def come_back(self) -> None:
        """It is on the network again, with its disk and without processes."""
        self.processes.clear()
        _ip("-n", self.network.switch, "link", "set", f"to-{self.name}", "up")

    def end(self) -> None:
        """SIGKILL for all that runs there."""
        listed = subprocess.run(["ip", "netns", "pids", self.namespace], capture_output=True, text=True)
        for pid in map(int, listed.stdout.split()):
            with suppress(psutil.NoSuchProcess):
                psutil.Process(pid).kill()
        for process in self.processes:
            process.kill()
            process.wait(END_WITHIN_S)


class Network:
    """Hosts and the switch between them."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.tag = folder, f"ms{os.getpid()}"
        self.switch = f"{self.tag}-switch"
        self.disk, self.names = folder / "disk", folder / "names"
        self.hosts = [Host(name, f"{SUBNET}.{at}", self) for at, name in enumerate(names, 1)]

    def make(self) -> None:
        self.disk.mkdir()
        lines = ["127.0.0.1 localhost", *(f"{host.address} {host.name}" for host in self.hosts)]
        self.names.write_text("\n".join(lines) + "\n")
        _ip("netns", "add", self.switch)
        _ip("-n", self.switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self.switch, "link", "set", "bridge", "up")
        for host in self.hosts:
            host.disk.mkdir()
            _ip("netns", "add", host.namespace)
            pair = ["peer", "name", "eth0", "netns", host.namespace]
            _ip("-n", self.switch, "link", "add", f"to-{host.name}", "type", "veth", *pair)
            _ip("-n", self.switch, "link", "set", f"to-{host.name}", "master", "bridge", "up")
            _ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", host.namespace, "link", "set", device, "up")

    def remove(self) -> None:
        for host in self.hosts:
            host.end()
        for name in (*(host.namespace for host in self.hosts), self.switch):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


@contextmanager
def network(folder: Path, *names: str) -> Iterator[list[Host]]:
    """So many hosts, of which nothing is left afterwards."""
    made = Network(folder, names)
    try:
        made.make()
        yield made.hosts
    finally:
        made.remove()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)

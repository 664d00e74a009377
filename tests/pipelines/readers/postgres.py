"""A PostgreSQL server on loopback, from Debian's binaries, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
DRIVERS = sorted((Path.home() / ".m2/repository/org/postgresql/postgresql").glob("*/postgresql-*.jar"))
USER, PASSWORD = "reader", "open sesame"


class Postgres:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        (folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(folder, "postgres", "postgres")
            shutil.chown(folder / "password", "postgres", "postgres")
        self._run("initdb", "-D", folder / "data", "-U", USER, "-A", "scram-sha-256", "--pwfile", folder / "password")
        options = f"-h 127.0.0.1 -p {self.port} -k {folder} -c fsync=off"
        self._run("pg_ctl", "-D", folder / "data", "-l", folder / "log", "-w", "-o", options, "start")

    @property
    def url(self) -> str:
        return f"jdbc:postgresql://127.0.0.1:{self.port}/postgres"

    def execute(self, *statements: str) -> str:
        commands = [word for statement in statements for word in ("-c", statement)]
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", "postgres", "-At"]
        return self._run("psql", *address, "-v", "ON_ERROR_STOP=1", *commands)

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")

    def _run(self, program: str, *words: object) -> str:
        user = "postgres" if os.geteuid() == 0 else None
        environment = {"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD, "LC_ALL": "C.UTF-8"}
        command = [str(BINARIES[-1] / program), *map(str, words)]
        done = subprocess.run(
            command, env=environment, user=user, group=user, cwd="/", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"
        return done.stdout

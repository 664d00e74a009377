"""What all tests share: a Spark session for those that ask for one, and settings that touch nobody's home."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml

from millstream.tracking.settings import Settings
from tests import shortcuts
from tests.hosts import can_be_made

MIRROR = "MILLSTREAM_MIRROR"
CHECK_MODELS = "MILLSTREAM_CHECK_MODELS"

# jobs of seconds: a third of their time would go into compiling what is hardly run again (127 s to 92 s, measured), and
# with this level's default size of the code cache, a twentieth into looking for code to drop
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=240m")

# 4 CPU seconds for each model; tests of the check itself ask for it
os.environ.setdefault(CHECK_MODELS, "no")
# the archive of classes from which Java starts in these tests: as old as the jars beside it, and removed with them
os.environ["XDG_CACHE_HOME"] = str(Path(sys.prefix) / "cache")
# the threads of OpenMP wait for each other longer than they work on a few rows (t-SNE of 60 rows: 14 s to 6 s)
os.environ.setdefault("OMP_NUM_THREADS", "1")

# whoever runs tests in the background has Ctrl-C ignored, and the commands that they start would inherit that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# how long an example takes depends on the machine, not on the code
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")


SLOW = {
    f"{Path(__file__).parent / file}::{case}"
    for file, cases in yaml.safe_load(Path(__file__).with_name("slow.yaml").read_text()).items()
    for case in cases["slow"]
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the cases of `slow.yaml`; a name that fits none is refused once all tests are collected.

    Tests that this machine cannot run are left out, counted by pytest as deselected and not as skipped: those of the
    origin files without a mirror, those of several hosts without root or iproute2.
    """
    listed = {f"{item.path}::{item.name}": item for item in items}
    if config.args == config.getini("testpaths") and (unknown := SLOW - listed.keys()):
        raise pytest.UsageError(f"slow.yaml has cases that there are not: {sorted(unknown)}")
    for case in SLOW & listed.keys():
        listed[case].add_marker(pytest.mark.slow)
    lacking = {
        name for name, is_there in (("mirror", bool(os.environ.get(MIRROR))), ("hosts", can_be_made())) if not is_there
    }
    without = [item for item in items if any(item.get_closest_marker(name) for name in lacking)]
    if without:
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if item not in without]


@pytest.hookimpl(tryfirst=True)  # before the loop of a worker of xdist, which ends the chain
def pytest_runtestloop(session: pytest.Session) -> None:
    """Before the first test that starts Java, where many do: makes the archive of its classes (30 CPU seconds, once;
    each start then costs 2 less)."""
    if session.config.option.collectonly or not any(item.get_closest_marker("spark") for item in session.items):
        return
    from millstream.pipelines.spark.class_archive import ClassArchive
    from millstream.pipelines.spark.session import find_java
    from millstream.tracking.host.file_lock import alone

    cache = Path(os.environ["XDG_CACHE_HOME"])
    archive = ClassArchive.of(find_java(), cache)
    if shortcuts.ARE_TAKEN:
        if not archive.found():
            os.environ["MILLSTREAM_CLASS_ARCHIVE"] = "off"  # else the sixth start would make it
        return
    with alone(cache / "tests.lock"):
        if not archive.found() and not archive.failed.exists():
            with tempfile.TemporaryDirectory() as home:
                variables = {"MILLSTREAM_HOME": home, "MILLSTREAM_CLASS_ARCHIVE": "now"}
                command = [sys.executable, "-m", "millstream", "prepare", "cnn/lenet-digits"]
                subprocess.run(command, env=os.environ | variables, capture_output=True, check=True)


@pytest.fixture(scope="session")
def session_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for the whole session, with a space in its path."""
    return tmp_path_factory.mktemp("mill stream")


@pytest.fixture(scope="session")
def spark(session_home: Path):
    from millstream.pipelines.spark.session import session

    cache = os.environ["XDG_CACHE_HOME"]
    settings = Settings.read({"MILLSTREAM_HOME": str(session_home), "XDG_CACHE_HOME": cache})
    running = session("local[2]", settings)
    if shortcuts.ARE_TAKEN:
        for name, value in shortcuts.SPARK.items():
            running.conf.set(name, value)
    yield running
    running.stop()


@pytest.fixture(scope="session", autouse=shortcuts.ARE_TAKEN)
def shortened(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        shortcuts.remember_names(patch)
        shortcuts.copy_schema(patch, tmp_path_factory.mktemp("schema") / "tracking.db")
        yield


@pytest.fixture(autouse=shortcuts.ARE_TAKEN)
def blank_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    if not request.node.get_closest_marker("smoke"):
        shortcuts.log_blank_figures(monkeypatch)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home of its own for each test."""
    return Settings.read(
        {"MILLSTREAM_HOME": str(tmp_path / "home"), MIRROR: os.environ.get(MIRROR, ""), "MILLSTREAM_CHECK_MODELS": "no"}
    )


@pytest.fixture(scope="session")
def soak() -> bool:
    """Whether faults are to be tried in full numbers."""
    return bool(os.environ.get("MILLSTREAM_SOAK"))


@pytest.fixture
def disk_of(tmp_path: Path):
    """File systems of so many KiB, to be filled."""
    mounted: list[Path] = []

    def disk(kib: int) -> Path:
        folder = tmp_path / f"disk {len(mounted)}"
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", folder], capture_output=True)
        if done.returncode:
            pytest.skip("no file system may be mounted here")
        mounted.append(folder)
        return folder

    yield disk
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)  # MLflow keeps SQLite's file open


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory):
    """A real S3 server on loopback, which this process and those that it starts can reach."""
    from tests.s3 import S3

    server = S3(tmp_path_factory.mktemp("s3"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server
    server.stop()


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Calls the command in this process, which has Spark and torch already: most of a small command's time.

    Answers as `tests.journey.command.completed` does; `code` may be several.
    """
    from millstream.__main__ import cli
    from tests.journey.command import ROOT, environment

    def call(home: Path, *words: str, code: int | tuple[int, ...] = 0, cwd: Path = ROOT, **more: str) -> dict[str, Any]:
        wanted = environment(home, **more)
        with pytest.MonkeyPatch.context() as patch:
            for name in os.environ.keys() - wanted.keys():
                patch.delenv(name)
            for name, value in wanted.items():
                patch.setenv(name, value)
            patch.chdir(cwd)
            capfd.readouterr()
            with pytest.raises(SystemExit) as ended:
                cli([*words, "--json"], prog_name="millstream")
        out, err = capfd.readouterr()
        codes = code if isinstance(code, tuple) else (code,)
        assert ended.value.code in codes, f"ended with {ended.value.code}\n{err[-3000:]}"
        return {**json.loads(out.splitlines()[-1]), "stderr": err}

    return call

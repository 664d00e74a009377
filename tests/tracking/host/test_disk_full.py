"""F5 where runs are remembered: real disks that are full, and what they leave behind."""

import errno
import os
import shutil
import sqlite3
import time
from itertools import count, islice

import pytest

from millstream.tracking.errors import BadEnvironment
from millstream.tracking.host.disk_full import is_full, refusal
from millstream.tracking.recipe.loader import load
from millstream.tracking.runs.metric_spool import EVERY_S
from millstream.tracking.runs.mlflow_store import open_store
from millstream.tracking.runs.run import Run
from millstream.tracking.runs.store_errors import StoreError
from millstream.tracking.settings import Settings
from tests.tracking.recipes import write

pytestmark = pytest.mark.fault


def filled(folder, left):
    """A file that takes all room on a disk but `left` bytes."""
    facts = os.statvfs(folder)
    (folder / "filling").write_bytes(bytes(max(0, facts.f_bavail * facts.f_frsize - left)))
    return folder / "filling"


def logged(run, steps, many):
    for step in islice(steps, many):
        run.metrics({"train/loss": float(step)}, step=step)


def test_a_store_that_found_no_room_for_its_tables_is_made_once_there_is_some(disk_of, soak):
    disk = disk_of(40_000)
    for at, left in enumerate(range(0, 900_000, 50_000) if soak else (300_000,)):
        home = disk / f"home {at}"
        settings = Settings.read({"MILLSTREAM_HOME": str(home)})
        home.mkdir()
        filling = filled(disk, left)
        with pytest.raises(BadEnvironment, match="bytes are free") as refused:
            open_store(settings)
        assert refused.value.faults[0].where.endswith("tracking.db")
        filling.unlink()
        assert [one.name for one in open_store(settings).search_experiments()] == ["Default"]
        (home / "tracking.db").unlink()


def test_metrics_come_whole_to_the_store_when_their_disk_was_full_for_a_while(disk_of, tmp_path):
    disk = disk_of(1024)
    located = load(str(write(tmp_path)))
    uri = f"sqlite:///{tmp_path / 'tracking.db'}"
    settings = Settings.read({"MILLSTREAM_HOME": str(disk / "home"), "MLFLOW_TRACKING_URI": uri})
    run = Run.start(settings, located)
    filling = filled(disk, 0)
    steps = count()
    with pytest.raises(OSError, match="No space left") as refused:
        logged(run, steps, 10_000)
    assert is_full(refused.value)
    filling.unlink()
    logged(run, steps, 1)
    assert run.finish()
    points = run.client.get_metric_history(run.id, "train/loss")
    assert sorted((one.step, one.value) for one in points) == [(step, float(step)) for step in range(next(steps))]


def test_a_store_that_is_full_refuses_and_is_not_taken_for_one_that_is_gone(disk_of, tmp_path):
    disk = disk_of(8192)
    (disk / "store").mkdir()
    uri = f"sqlite:///{disk / 'store' / 'tracking.db'}"
    settings = Settings.read({"MILLSTREAM_HOME": str(tmp_path / "home"), "MLFLOW_TRACKING_URI": uri})
    run = Run.start(settings, load(str(write(tmp_path))))
    filling = filled(disk, 0)
    logged(run, count(), 2000)
    time.sleep(3 * EVERY_S)  # so that the spool's thread has tried
    with pytest.raises(StoreError, match="make room") as refused:
        run.tag(passed="t" * 4000)
    assert is_full(refused.value)
    filling.unlink()
    assert run.finish()


def test_a_run_that_finds_no_room_to_write_down_its_end_is_reported_to_the_store(disk_of, tmp_path):
    disk = disk_of(1024)
    uri = f"sqlite:///{tmp_path / 'tracking.db'}"
    settings = Settings.read({"MILLSTREAM_HOME": str(disk / "home"), "MLFLOW_TRACKING_URI": uri})
    run = Run.start(settings, load(str(write(tmp_path))))
    filled(disk, 0)
    with pytest.raises(OSError, match="No space left"), run:
        logged(run, count(), 10_000)
    found = run.client.get_run(run.id)
    assert found.info.status == "KILLED"
    assert found.data.tags["go_on"] == run.go_on


def test_a_resumed_run_does_not_write_into_half_a_line(settings, tmp_path):
    located = load(str(write(tmp_path)))
    run = Run.start(settings, located)
    run.metrics({"train/loss": 1.0}, step=1)
    run.finish("KILLED")
    settings.spool.mkdir(exist_ok=True)
    run.spool.file.write_text('[["train/loss", 2.0, 5, 2]]\n[["train/lo')
    again = Run.resume(settings, located, run.id)
    again.metrics({"train/loss": 3.0}, step=3)
    assert again.finish()
    points = again.client.get_metric_history(run.id, "train/loss")
    assert sorted((one.step, one.value) for one in points) == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert again.client.get_run(run.id).info.status == "FINISHED"


def test_a_full_disk_is_known_in_whatever_error_it_comes_as(tmp_path):
    plain = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "a file"))
    assert is_full(plain)
    wrapped = RuntimeError("unexpected pos")
    wrapped.__context__ = plain
    assert is_full(wrapped)
    assert refusal(wrapped, tmp_path).faults[0].where == str(tmp_path / "a file")
    copied = shutil.Error([("a", "b", str(plain))])
    assert is_full(copied)
    limited = sqlite3.connect(tmp_path / "small.db")
    limited.execute("pragma max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError) as full:
        limited.execute("create table a as select zeroblob(100000)")
    assert is_full(full.value)
    limited.close()
    assert not is_full(OSError(errno.EACCES, "no"))
    assert not is_full(None)

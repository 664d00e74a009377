import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from millstream.pipelines import prepare
from millstream.pipelines.publish.local_store import LocalStore
from millstream.pipelines.publish.staging_name import LEFTOVER_HOURS, Mark
from millstream.tracking.dataset.manifest import FILE
from millstream.tracking.dataset.version import Dataset, versions
from millstream.tracking.errors import BadEnvironment
from millstream.tracking.recipe.loader import load
from millstream.tracking.verification.verify import verify

PREPARE = [
    sys.executable,
    "-m",
    "millstream",
    "prepare",
    "cnn/lenet-digits",
    "--set",
    "data.source.limit=300",
    "--json",
]


def environment(home):
    return {**os.environ, "MILLSTREAM_HOME": str(home)}


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.spark
def test_a_killed_prepare_leaves_no_half_version_and_the_next_publishes_the_same_one(spark, settings, tmp_path, soak):
    home, store = tmp_path / "home", tmp_path / "home" / "datasets"
    located = load("cnn/lenet-digits", sets=["data.source.limit=300"])
    expected = Dataset.open(prepare.prepare(located, settings, say=lambda message: None).path, settings.store).manifest
    generator = random.Random(0)
    for _ in range(100 if soak else 1):
        killed = subprocess.Popen(PREPARE, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(generator.uniform(4, 18))
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        for version in versions(store, "digits"):
            assert verify(Dataset.open(version, store)) == []
    subprocess.run(PREPARE, env=environment(home), check=True, capture_output=True)
    found = Dataset.open("digits", store).manifest
    assert found.version == expected.version
    assert {name: split.digest for name, split in found.splits.items()} == {
        name: split.digest for name, split in expected.splits.items()
    }
    assert sorted(path.name for path in (store / "digits").iterdir()) == sorted([found.version, "latest"])


def test_latest_is_swapped_and_names_a_version(tmp_path):
    store = LocalStore(tmp_path)
    for name in ("one", "two"):
        (tmp_path / "data" / name).mkdir(parents=True)
        store.point_latest("data", name)
        assert (tmp_path / "data" / "latest").resolve().name == name
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["latest", "one", "two"]


def test_only_leftovers_of_dead_processes_are_swept(tmp_path):
    store = LocalStore(tmp_path)
    with store.staging("data", "v1") as own:
        mine = Mark.parse(own.folder.name)
        assert store.sweep("data") == []
        dead = [mine._replace(started=1), mine._replace(pid=999999999), mine._replace(host="elsewhere", token="old")]
        living = [mine._replace(host="elsewhere"), mine._replace(host=f"{mine.host}-too")]
        for mark in (*dead, *living):
            (tmp_path / "data" / str(mark)).mkdir()
        long_ago = time.time() - LEFTOVER_HOURS * 3600 - 60
        os.utime(tmp_path / "data" / str(dead[-1]), (long_ago, long_ago))
        assert sorted(store.sweep("data")) == sorted(map(str, dead))
        assert own.folder.is_dir()
        assert all((tmp_path / "data" / str(mark)).is_dir() for mark in living)
    assert not own.folder.exists()


@pytest.mark.fault
def test_sweeps_that_meet_do_not_fail(tmp_path):
    store, dead = LocalStore(tmp_path), Mark.mine("v1")._replace(started=1)
    for at in range(300):
        (tmp_path / "data" / str(dead._replace(token=f"{at:08x}"))).mkdir(parents=True)
    with ThreadPoolExecutor(4) as pool:
        removed = list(pool.map(store.sweep, ["data"] * 4))
    assert {name for one in removed for name in one} == {str(dead._replace(token=f"{at:08x}")) for at in range(300)}
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.bad_input
def test_a_store_that_cannot_be_written_is_refused_with_what_to_set(tmp_path):
    (tmp_path / "file").write_text("")
    store = LocalStore(tmp_path / "file")
    with pytest.raises(BadEnvironment, match="MILLSTREAM_STORE"), store.staging("data", "v1"):
        pass


def test_a_folder_without_a_manifest_is_no_version(tmp_path):
    (tmp_path / "data" / "v1").mkdir(parents=True)
    assert list(versions(tmp_path, "data")) == []
    (tmp_path / "data" / "v1" / FILE).write_text("{}")
    assert [path.name for path in versions(tmp_path, "data")] == ["v1"]

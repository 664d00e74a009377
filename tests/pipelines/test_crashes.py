"""F1, F2, F3 and F5 on every kind of store: killed processes, processes that meet, a full disk."""

import os
import random
import signal
import time
import uuid

import pytest

from millstream.pipelines import prepare
from millstream.pipelines.publish.local_store import LocalStore
from millstream.tracking.dataset.filesystems import files_below, place
from millstream.tracking.dataset.shard_cache import Cache
from millstream.tracking.dataset.version import Dataset, versions
from millstream.tracking.errors import BadEnvironment
from millstream.tracking.recipe.loader import load
from millstream.tracking.verification.verify import verify
from tests.forkserver import python
from tests.journey.command import answer, completed, environment, started
from tests.pipelines.crashing import publish

pytestmark = [pytest.mark.fault, pytest.mark.spark]

SMALL = ("cnn/lenet-digits", "--set", "data.source.limit=300")


@pytest.fixture
def on_disk(tmp_path):
    return {"MILLSTREAM_STORE": str(tmp_path / "store")}


@pytest.fixture
def on_s3(s3):
    return {"MILLSTREAM_STORE": f"s3://bucket/{uuid.uuid4().hex}", **s3.environment}


@pytest.fixture
def on_hadoop(tmp_path):
    """viewfs over Hadoop's own local file system, as Spark's settings name it."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "disk").mkdir()
    link = f"spark.hadoop.fs.viewfs.mounttable.disk.link./store {(tmp_path / 'disk').as_uri()}\n"
    (tmp_path / "conf" / "spark-defaults.conf").write_text(link)
    return {"MILLSTREAM_STORE": "viewfs://disk/store", "SPARK_CONF_DIR": str(tmp_path / "conf")}


def seen(store, tmp_path):
    """Where the versions of a store can be looked at without Spark."""
    return str(tmp_path / "disk") if store.startswith("viewfs:") else store


def faults(where, version, tmp_path):
    dataset = Dataset.open(version, where, Cache(tmp_path / "looked", 1 << 30))
    return [str(fault) for fault in verify(dataset) if ".crc" not in fault.where]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["on_disk", "on_s3", "on_hadoop"])
def test_a_prepare_killed_at_each_stage_leaves_whole_versions_and_the_next_one_ends_well(kind, request, tmp_path, soak):
    variables = request.getfixturevalue(kind)
    where = seen(variables["MILLSTREAM_STORE"], tmp_path)
    # the line that a stage begins with, and about how long it takes: before, early and late in, and after the writing
    stages = {"before": ("scale:", 0.3), "early": ("leakage:", 1), "late": ("leakage:", 3), "after": ("train:", 0.3)}
    generator = random.Random(0)
    for stage, most_s in (stages[name] for name in (stages if soak else ["late"]) for _ in range(8 if soak else 1)):
        process = started(tmp_path / "home", "prepare", *SMALL, **variables)
        for line in process.stderr:
            if line.startswith(stage):
                break
        time.sleep(generator.uniform(0, most_s))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for version in versions(where, "digits"):
            assert [one for one in faults(where, str(version), tmp_path) if "not in the manifest" not in one] == []
    made = completed(tmp_path / "home", "prepare", *SMALL, **variables)
    time.sleep(2)  # Java outlives a killed driver by a moment, and its workers may still write
    again = completed(tmp_path / "home", "prepare", *SMALL, **variables)
    assert (again["reused"], again["version"]) == (True, made["version"])
    assert faults(where, f"digits/{made['version']}", tmp_path) == []
    kept = {name.partition("/")[0] for name in files_below(place(where) / "digits")} - {"latest", ".latest.crc"}
    assert kept == {made["version"]}


@pytest.mark.parametrize(
    ("kind", "shards", "every", "points"),
    [("disk", (12, 48), 8, (8, 200)), ("s3", (4, 96), 9, (2, 100))],
    ids=["disk", "s3"],
)
def test_a_publish_that_ends_before_any_of_its_operations_leaves_whole_versions(
    kind, shards, every, points, request, tmp_path, soak
):
    where = f"s3://bucket/{uuid.uuid4().hex}" if kind == "s3" else str(tmp_path / "store")
    variables = request.getfixturevalue("s3").environment if kind == "s3" else {}
    turns = str(shards[soak]), "1" if soak else str(every)
    process = python("-m", "tests.pipelines.crashing", where, *turns, env=environment(tmp_path, **variables))
    out, err = process.communicate()
    assert process.returncode == 0, err[-3000:]
    assert int(out) >= points[soak]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["on_disk", "on_s3", "on_hadoop"])
def test_prepares_that_meet_end_well_and_leave_nothing(kind, request, tmp_path):
    variables = request.getfixturevalue(kind)
    where = seen(variables["MILLSTREAM_STORE"], tmp_path)
    other = ("cnn/lenet-digits", "--set", "data.source.limit=301")
    running = [started(tmp_path / "home", "prepare", *words, **variables) for words in (SMALL, SMALL, other)]
    made = [answer(process) for process in running]
    assert made[0]["version"] == made[1]["version"] != made[2]["version"]
    found = {one.name for one in versions(where, "digits")}
    assert found == {one["version"] for one in made}
    for version in found:
        assert faults(where, f"digits/{version}", tmp_path) == []
    kept = {name.partition("/")[0] for name in files_below(place(where) / "digits")} - {"latest", ".latest.crc"}
    assert kept == found


def test_a_disk_that_is_full_is_reported_with_the_path_and_what_is_missing(spark, disk_of, settings):
    small_disk = disk_of(16)
    full = settings.model_copy(update={"store": str(small_disk)})
    with pytest.raises(BadEnvironment) as refused:
        prepare.prepare(load("cnn/lenet-digits"), full, say=lambda message: None)
    (fault,) = refused.value.faults
    assert fault.where.startswith(str(small_disk))
    assert int(fault.message.partition(" are missing")[0].rpartition(" ")[2]) > 0
    assert list(versions(small_disk, "digits")) == []
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []


@pytest.mark.security
def test_what_is_published_has_the_rights_that_the_umask_allows(tmp_path):
    before = os.umask(0o077)
    try:
        publish(LocalStore(tmp_path / "store"), "v1", 2)
    finally:
        os.umask(before)
    found = [path for path in (tmp_path / "store").rglob("*") if not path.is_symlink()]
    assert len(found) == 7
    for path in found:
        assert path.stat().st_mode & 0o077 == 0, path

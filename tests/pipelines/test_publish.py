import os
import random
import signal
import subprocess
import sys
import time

import pytest

from pipelines import prepare, publish
from tracking.dataset import Dataset, versions
from tracking.faults import BadEnvironment
from tracking.manifest import FILE
from tracking.recipe import load
from tracking.verify import verify

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
@pytest.mark.spark
def test_a_killed_prepare_leaves_no_half_version_and_the_next_gives_the_same_one(spark, settings, tmp_path, soak):
    home, store = tmp_path / "home", tmp_path / "home" / "datasets"
    located = load("cnn/lenet-digits", sets=["data.source.limit=300"])
    expected = Dataset.open(prepare.prepare(located, settings, say=lambda told: None).path, settings.store).manifest
    generator = random.Random(0)
    for _ in range(100 if soak else 2):
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
    for name in ("one", "two"):
        (tmp_path / "data" / name).mkdir(parents=True)
        publish.point_latest(tmp_path / "data" / name)
        assert (tmp_path / "data" / "latest").resolve().name == name
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["latest", "one", "two"]


def test_only_leftovers_of_dead_processes_are_swept(tmp_path):
    with publish.staging(tmp_path, "data", "v1") as own:
        assert publish.sweep(tmp_path, "data") == []
        host, pid, started, unique = own.name.rsplit("-", 4)[-4:]
        for name in (
            f"{host}-{pid}-1-{unique}",
            f"{host}-999999999-{started}-{unique}",
            f"elsewhere-{pid}-{started}-{unique}",
        ):
            (tmp_path / "data" / f".staging-v1-{name}").mkdir()
        assert len(publish.sweep(tmp_path, "data")) == 2
        assert own.is_dir()
        assert (tmp_path / "data" / f".staging-v1-elsewhere-{pid}-{started}-{unique}").is_dir()
    assert not own.exists()


@pytest.mark.bad_input
def test_a_store_that_cannot_be_written_is_told_with_what_to_set(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadEnvironment, match="MILLSTREAM_STORE"), publish.staging(tmp_path / "file", "data", "v1"):
        pass


def test_a_folder_without_a_manifest_is_no_version(tmp_path):
    (tmp_path / "data" / "v1").mkdir(parents=True)
    assert list(versions(tmp_path, "data")) == []
    (tmp_path / "data" / "v1" / FILE).write_text("{}")
    assert [path.name for path in versions(tmp_path, "data")] == ["v1"]


def test_the_salt_sends_each_bucket_to_a_partition_of_its_own(spark):
    frame = spark.range(500).selectExpr("CAST(id % 7 AS INT) AS _bucket").withColumn("_salt", publish._salt(7))
    placed = frame.repartition(7, "_salt").selectExpr("_bucket", "spark_partition_id() AS place").distinct().collect()
    assert {row._bucket: row.place for row in placed} == {bucket: bucket for bucket in range(7)}

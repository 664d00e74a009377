"""Faults are reported with its place and the right exit code, and nothing is lost."""

from __future__ import annotations

import shutil

import pytest

from millstream.pipelines import prepare
from millstream.tracking.recipe.loader import load
from millstream.tracking.settings import Settings
from tests.tracking.host.test_disk_full import filled

SMALL = ("--set", "data.source.limit=300", "--set", "fit.epochs=1", "--set", "fit.threads=1")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, spark):
    home = tmp_path_factory.mktemp("a home")
    located = load("cnn/lenet-digits", sets=["data.source.limit=300"])
    prepare.prepare(located, Settings.read({"MILLSTREAM_HOME": str(home)}), say=lambda message: None)
    return home


@pytest.fixture
def home(prepared, tmp_path):
    """A copy, to be damaged."""
    return shutil.copytree(prepared, tmp_path / "home", symlinks=True)


@pytest.mark.fault
@pytest.mark.spark
def test_a_flipped_bit_stops_training_with_the_files_name(here, home):
    shard = next(home.glob("datasets/digits/*/split=train/part-00000.parquet"))
    damaged = bytearray(shard.read_bytes())
    damaged[len(damaged) // 2] ^= 4
    shard.write_bytes(damaged)
    refused = here(home, "train", "cnn/lenet-digits", *SMALL, code=3)
    assert refused["faults"][0]["where"].endswith("split=train/part-00000.parquet")
    assert not here(home, "verify", "digits", code=3)["ok"]


@pytest.mark.fault
@pytest.mark.spark
def test_a_missing_shard_stops_training_with_the_files_name(here, home):
    next(home.glob("datasets/digits/*/split=valid/part-00000.parquet")).unlink()
    refused = here(home, "train", "cnn/lenet-digits", *SMALL, code=3)
    assert "split=valid/part-00000.parquet" in refused["stderr"]


@pytest.mark.fault
@pytest.mark.spark
def test_a_loss_that_is_no_number_stops_training_with_the_samples(here, home):
    wild = ("--set", "fit.optimizer.lr=1e20", "--set", "fit.schedule={name: constant}")
    refused = here(home, "train", "cnn/lenet-digits", *SMALL, *wild, code=5)
    (fault,) = refused["faults"]
    assert fault["where"].startswith("epoch 0, batch ")
    assert "on samples " in fault["message"]
    assert "fit.optimizer.lr" in fault["message"]


@pytest.mark.bad_input
@pytest.mark.spark
def test_a_dataset_that_was_not_prepared_is_refused_with_the_command_that_does(here, home):
    refused = here(home, "train", "cnn/lenet-digits", "--set", "data.source.limit=301", code=3)
    assert "millstream prepare cnn/lenet-digits" in refused["stderr"]


@pytest.mark.bad_input
def test_a_missing_origin_file_is_refused_with_its_name(here, tmp_path):
    refused = here(tmp_path, "prepare", "cnn/lenet-mnist", code=3, MILLSTREAM_MIRROR=str(tmp_path), no_proxy="*")
    assert "mnist/" in refused["stderr"]


@pytest.mark.fault
def test_a_tracking_server_that_is_not_there_is_reported_before_any_work(here, tmp_path):
    gone = "http://127.0.0.1:9"
    refused = here(tmp_path, "run", "rl/dqn-cartpole", "--budget", "smoke", code=4, MLFLOW_TRACKING_URI=gone)
    assert refused["faults"][0]["where"] == gone


@pytest.mark.fault
@pytest.mark.security
def test_an_s3_server_that_is_not_there_is_reported_without_the_secret(here, tmp_path):
    secrets = {"AWS_ACCESS_KEY_ID": "a-key", "AWS_SECRET_ACCESS_KEY": "a-secret"}
    gone = {"MILLSTREAM_STORE": "s3://bucket/store", "AWS_ENDPOINT_URL": "http://127.0.0.1:9", **secrets}
    refused = here(tmp_path, "verify", "digits", code=4, **gone)
    assert refused["faults"][0]["where"].startswith("s3://bucket/store")
    assert "a-secret" not in str(refused)


@pytest.mark.fault
@pytest.mark.spark
def test_a_run_on_a_disk_that_is_full_is_reported_and_resumes_when_there_is_room(
    here, prepared, disk_of, tmp_path, soak
):
    """Wherever the disk is full: in the tracking store, a checkpoint, an artifact, the model."""
    words = ("train", "cnn/lenet-digits", *SMALL)
    on = {"MILLSTREAM_STORE": str(prepared / "datasets")}
    unbroken = here(tmp_path / "unbroken", *words, **on)
    refused = 0
    for kib in range(800, 4000, 40) if soak else (1200, 1800):
        disk = disk_of(40_000)
        home = disk / "home"
        filling = filled(disk, kib << 10)
        found = here(home, *words, code=(0, 4), **on)
        if "faults" in found:
            refused += 1
            (fault,) = found["faults"]
            assert str(home) in fault["where"]
            assert "make room" in fault["message"]
        assert "Traceback" not in found["stderr"]
        filling.unlink()
        assert here(home, *words, **on)["weights"] == unbroken["weights"]
        assert here(home, "doctor", code=(0, 4))["checks"]
    assert refused >= (20 if soak else 2)

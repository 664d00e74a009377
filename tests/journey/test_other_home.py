"""A run that is killed is resumed where nothing of it is but what lies in the store."""

from __future__ import annotations

import random
import shutil
import signal
import time

import pytest

from tests.journey.command import answer, completed, started
from tests.journey.test_ranks import LENET

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.spark]
BEST = LENET.replace("epochs: 4", "epochs: 6, keep: best")


@pytest.fixture(scope="module")
def shared(tmp_path_factory, s3):
    """A recipe, and the variables of stores that all homes share."""
    folder = tmp_path_factory.mktemp("shared")
    recipe = folder / "lenet.yaml"
    recipe.write_text(BEST)
    stores = {
        "MILLSTREAM_STORE": "s3://bucket/datasets",
        "MILLSTREAM_CHECKPOINTS": "s3://bucket/runs",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/tracking.db",
    }
    completed(folder / "first", "prepare", str(recipe), **stores)
    return str(recipe), stores


def killed_after(seconds, home, recipe, stores):
    """The id of a run that is killed so long after its first state has arrived in the store."""
    process = started(home, "train", recipe, "--fresh", **stores)
    run = next(line for line in process.stderr if line.startswith("run ")).split()[1]
    next(line for line in process.stderr if line.startswith("epoch"))
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return run


def test_a_run_continues_in_an_empty_home_to_the_same_weights(tmp_path, shared, s3, soak):
    recipe, stores = shared
    whole = completed(tmp_path / "whole", "train", recipe, "--fresh", **stores)
    assert len(s3.keys(f"runs/{whole['run_id']}/")) == 3  # the best weights and two states
    draw = random.Random(0)
    for attempt in range(5 if soak else 1):
        run = killed_after(draw.uniform(0, 1), tmp_path / f"{attempt}", recipe, stores)
        shutil.rmtree(tmp_path / f"{attempt}")
        resumed = completed(tmp_path / f"{attempt} again", "train", recipe, **stores)
        assert (resumed["run_id"], resumed["weights"]) == (run, whole["weights"])
        assert resumed["metrics"] == whole["metrics"]


def test_a_copy_that_is_cut_off_is_never_taken(tmp_path, shared, s3):
    recipe, stores = shared
    whole = completed(tmp_path / "whole", "train", recipe, "--fresh", **stores)
    run = killed_after(0.5, tmp_path / "one", recipe, stores)
    _, newest = s3.keys(f"runs/{run}/step")
    s3.put(newest, s3.get(newest)[:-1])
    resumed = completed(tmp_path / "other", "train", recipe, **stores)
    assert f"s3://bucket/{newest}" in resumed["stderr"]
    assert (resumed["run_id"], resumed["weights"]) == (run, whole["weights"])
    assert f"{newest}.damaged" in s3.keys(f"runs/{run}/")


def test_a_stop_ends_when_its_state_has_arrived(tmp_path, shared, s3):
    recipe, stores = shared
    process = started(tmp_path / "one", "train", recipe, "--fresh", **stores)
    next(line for line in process.stderr if line.startswith("epoch"))
    process.send_signal(signal.SIGTERM)
    saved = answer(process, 143)["stderr"].rpartition("state saved in ")[2].split()[0]
    run, state = saved.split("/")[-2:]
    assert s3.keys(f"runs/{run}/step")[-1] == f"runs/{run}/{state}"

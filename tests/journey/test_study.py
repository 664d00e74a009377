"""A study that is stopped by Ctrl-C and started again, and a leaderboard of two recipes."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path

import pytest

from millstream.tracking.comparison.finished_runs import PARENT
from millstream.tracking.runs.mlflow_store import open_store
from millstream.tracking.settings import Settings
from tests.journey.command import answer, completed, started, wait_for
from tests.tracking.recipes import WHOLE, write

SMALL = ("{name: digits}", "{name: digits, limit: 300}")
STUDY = WHOLE + "vary: {fit.init: [zeros, he, xavier]}\ncurve: valid/loss\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("studied")


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.spark
def test_ctrl_c_loses_no_combination_of_a_study(here, home, spark):
    file = str(write(home, STUDY, SMALL, name="inits.yaml"))
    here(home, "prepare", str(write(home, WHOLE, SMALL)))  # where Spark runs already
    stopped = started(home, "study", file)
    wait_for(stopped, home, "checkpoints/*/model/weights.pt")  # the first one is trained
    stopped.send_signal(signal.SIGINT)
    answer(stopped, code=130)
    found = completed(home, "study", file)
    assert [row["values"] for row in found["rows"]] == [{"fit.init": name} for name in ("zeros", "he", "xavier")]
    assert Path(found["figure"]).read_bytes().startswith(b"\x89PNG")
    assert len(Path(found["table"]).read_text().splitlines()) == 4
    client = open_store(Settings.read({"MILLSTREAM_HOME": str(home)}))
    runs = client.search_runs([client.get_experiment_by_name("inits").experiment_id])
    ended = [one for one in runs if one.info.status == "FINISHED"]
    assert Counter(one.data.tags.get(PARENT) for one in ended) == {None: 1, found["run_id"]: 3}


@pytest.mark.slow
@pytest.mark.spark
def test_recipes_without_a_run_are_run_and_ranked(home):
    lenet = str(write(home, WHOLE, SMALL, name="lenet.yaml"))
    tree = ("cnn/lenet, channels: [4, 8]", "classical/tree")
    other = str(write(home, WHOLE, SMALL, tree, name="tree.yaml"))
    process = started(home, "compare", lenet, other, "--train", "--metric", "accuracy")
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err[-3000:]
    board = json.loads(out.splitlines()[-1])
    assert {row["recipe"] for row in board} == {"lenet", "tree"}
    assert board[0]["value"] >= board[1]["value"]
    assert board[1]["against_best"]["test"] == "mcnemar"

import time
from pathlib import Path

import pytest

from millstream.tracking.dataset.class_balance import Plan
from millstream.tracking.dataset.manifest import Check, Split
from millstream.tracking.dataset.records import Step
from millstream.tracking.errors import BadEnvironment, Stopped, TrainingFailed, WrongRecipe
from millstream.tracking.recipe.loader import load
from millstream.tracking.runs.metric_spool import unsent
from millstream.tracking.runs.mlflow_store import open_store
from millstream.tracking.runs.params import flatten
from millstream.tracking.runs.run import Run
from millstream.tracking.runs.run_lock import reap
from tests.forkserver import python
from tests.tracking.recipes import write
from tests.tracking.started_runs import course, left, running, unfinished
from tests.training.signatures import manifest, target


def test_a_run_remembers_recipe_metrics_and_end(settings, located):
    with Run.start(settings, located) as run:
        for step in range(5):
            run.metrics({"train/loss": 1.0 / (step + 1), "valid/accuracy": step / 5}, step=step)
    found = open_store(settings).get_run(run.id)
    assert found.info.status == "FINISHED"
    assert found.data.params["fit.optimizer.lr"] == "0.001"
    assert found.data.params["data.steps.0.split.valid"] == "0.1"
    assert course(run.client, run.id, "valid/accuracy") == [(step, step / 5) for step in range(5)]
    assert {item.path for item in run.client.list_artifacts(run.id)} == {"recipe.yaml", "environment.txt"}
    assert run.client.get_experiment(found.info.experiment_id).name == located.name
    assert unsent(settings) == []


def test_a_run_shows_the_proof_and_the_class_counts_of_its_data(settings, located, tmp_path):
    before, after = {"no": 90, "yes": 10}, {"no": 90, "yes": 90}
    plan = Plan(column="label", method="smote", before=before, after=after).model_dump(mode="json")
    step = Step(name="rebalance", version=3, config={}, learned=plan, rows_in=100, rows_out=180, seconds=1)
    check = Check(name="no sample or parent in two splits", ok=True, figures={"shared": 0})
    split = Split(rows=180, class_counts=after, digest="0" * 32, shards=())
    made = manifest(target(2)).model_copy(update={"steps": (step,), "checks": (check,), "splits": {"train": split}})
    with Run.start(settings, located) as run:
        run.dataset(made, tmp_path)
    path = run.client.download_artifacts(run.id, "leakage.txt", str(tmp_path))
    assert Path(path).read_text() == 'no sample or parent in two splits: True {"shared": 0}\n'
    assert [item.path for item in run.client.list_artifacts(run.id, "figures")] == ["figures/balance_1.png"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("x"), "FAILED"),
        (TrainingFailed.at("epoch 0", "NaN"), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (Stopped(15, "last.ckpt"), "KILLED"),
        (BadEnvironment.at("last.ckpt", "the disk is full"), "KILLED"),
    ],
)
def test_a_run_that_fails_states_how_it_is_resumed(shared, located, error, status):
    run = Run.start(shared, located)
    with pytest.raises(type(error)), run:
        raise error
    found = run.client.get_run(run.id)
    assert found.info.status == status
    assert found.data.tags["go_on"] == f"millstream train {located.file} --budget cpu --resume {run.id}"


def test_a_resumed_run_is_the_same_run(settings, located):
    first = Run.start(settings, located)
    first.metrics({"train/loss": 1.0}, step=0)
    first.finish("KILLED")
    with Run.resume(settings, located, first.id) as second:
        second.metrics({"train/loss": 0.5}, step=1)
    assert course(second.client, first.id, "train/loss") == [(0, 1.0), (1, 0.5)]
    assert second.client.get_run(first.id).info.status == "FINISHED"


def test_the_recorded_end_is_gone_when_a_run_is_resumed(settings, located):
    first = Run.start(settings, located)
    with pytest.raises(KeyboardInterrupt), first:
        raise KeyboardInterrupt
    Run.resume(settings, located, first.id).finish()
    assert not {"ended", "go_on"} & first.client.get_run(first.id).data.tags.keys()


def test_the_newest_interrupted_run_is_found_again(shared, located):
    assert unfinished(shared, located, "a") is None
    left(shared, located, "a")
    second = left(shared, located, "a")
    left(shared, located, "b")
    run = unfinished(shared, located, "a")
    assert (run.id, run.resumed) == (second, True)
    assert run.client.get_run(second).info.status == "RUNNING"


@pytest.mark.parametrize("status", ["FAILED", "FINISHED"])
def test_a_run_that_failed_or_finished_is_not_resumed_by_itself(shared, located, status):
    left(shared, located, status, status=status)
    assert unfinished(shared, located, status) is None


def test_a_run_without_a_state_is_not_resumed_by_itself(shared, located):
    run_id = left(shared, located, "stateless")
    (shared.checkpoints / run_id / "state").unlink()
    assert unfinished(shared, located, "stateless") is None


@pytest.mark.fault
def test_a_run_is_in_the_hands_of_one_process(shared, located):
    run_id = left(shared, located, "held")
    process = python("-c", HOLD, str(shared.home), str(located.file))
    assert process.stdout.readline().strip() == run_id
    assert unfinished(shared, located, "held") is None
    with pytest.raises(WrongRecipe, match="another process works on it"):
        Run.resume(shared, located, run_id)
    process.kill()
    process.wait()
    assert unfinished(shared, located, "held").id == run_id


@pytest.mark.fault
def test_neither_names_nor_the_order_of_steps_hang_on_the_clock(shared, located, monkeypatch):
    now = time.time()
    # the clock of this machine is not ours to set: what is read from it is
    monkeypatch.setattr(time, "time", lambda: now)
    run, twin = Run.start(shared, located), Run.start(shared, located)
    assert run.id != twin.id
    for step, seconds in enumerate([0, -1000, -500]):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: now + seconds)
        run.metrics({"train/loss": 1.0 - step}, step=step)
    run.finish(), twin.finish()
    assert course(run.client, run.id, "train/loss") == [(0, 1.0), (1, 0.0), (2, -1.0)]
    assert run.client.get_run(run.id).data.metrics["train/loss"] == -1.0  # that of the last step


@pytest.mark.bad_input
def test_only_a_run_of_the_same_recipe_is_resumed(settings, located, tmp_path):
    run = Run.start(settings, located)
    run.finish()
    other = load(str(write(tmp_path, name="other.yaml")))
    with pytest.raises(WrongRecipe, match="is a run of 'mine', not of 'other'"):
        Run.resume(settings, other, run.id)
    with pytest.raises(WrongRecipe, match="no such run"):
        Run.resume(settings, located, "0" * 32)


def test_nested_values_become_flat_params():
    tree = {"a": {"b": [1, 2], "c": {}}, "steps": [{"split": {"by": "hash"}}, {"scale": None}], "odd $name": 1}
    assert flatten(tree) == {
        "a.b": "[1, 2]",
        "a.c": "{}",
        "steps.0.split.by": "hash",
        "steps.1.scale": "None",
        "odd _name": "1",
    }


HOLD = """
import sys, time
from millstream.tracking.recipe.loader import load
from millstream.tracking.runs.run import Run
from millstream.tracking.settings import Settings
settings = Settings.read({"MILLSTREAM_HOME": sys.argv[1]})
run = Run.unfinished(settings, load(sys.argv[2]), {"identity": "held"}, lambda folder: True)
print(run.id, flush=True)
time.sleep(600)
"""


@pytest.mark.fault
def test_a_killed_run_is_marked_and_a_living_one_is_not(settings, located):
    client, process, run_id = running(settings, located)
    assert reap(client, settings) == []
    assert unsent(settings) == []
    process.kill()
    process.wait()
    assert reap(client, settings) == [run_id]
    assert client.get_run(run_id).info.status == "KILLED"
    assert [file.stem for file in unsent(settings)] == [run_id]

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from tests.tracking.recipes import write
from tests.tracking.server import Server
from tests.training.signatures import manifest, target
from tracking.alive import Hold, reap
from tracking.balance import Plan
from tracking.doctor import checks
from tracking.faults import BadEnvironment, Stopped, TrainingFailed, WrongRecipe
from tracking.manifest import Check, Split, Step
from tracking.recipe_file import load
from tracking.registry import Entry
from tracking.run import LEAVE_WITHIN_S, Run, flatten
from tracking.settings import Settings
from tracking.spool import file_of, send, unsent
from tracking.store import open_store


@pytest.fixture
def located(tmp_path):
    return load(str(write(tmp_path)))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One home for tests that look at their own runs alone: a fresh store takes a second."""
    return Settings.read({"MILLSTREAM_HOME": str(tmp_path_factory.mktemp("home"))})


@pytest.fixture
def server(tmp_path):
    (tmp_path / "server").mkdir()
    running = Server(tmp_path / "server")
    running.start()
    yield running
    running.stop()


def course(client, run_id, name):
    return sorted((point.step, point.value) for point in client.get_metric_history(run_id, name))


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
    told = run.client.download_artifacts(run.id, "leakage.txt", str(tmp_path))
    assert Path(told).read_text() == 'no sample or parent in two splits: True {"shared": 0}\n'
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
def test_a_run_that_breaks_says_how_it_goes_on(shared, located, error, status):
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


def test_what_was_told_of_the_end_is_gone_when_a_run_went_on(settings, located):
    first = Run.start(settings, located)
    with pytest.raises(KeyboardInterrupt), first:
        raise KeyboardInterrupt
    Run.resume(settings, located, first.id).finish()
    assert not {"ended", "go_on"} & first.client.get_run(first.id).data.tags.keys()


def left(settings, located, identity, status="KILLED"):
    """A run that ended like this, with a state; its id."""
    run = Run.start(settings, located)
    run.tag(identity=identity)
    (run.folder / "state").touch()
    run.finish(status)
    return run.id


def unfinished(settings, located, identity):
    return Run.unfinished(settings, located, identity, lambda folder: (folder / "state").exists())


def test_the_newest_run_that_was_broken_off_is_found_again(shared, located):
    assert unfinished(shared, located, "a") is None
    left(shared, located, "a")
    second = left(shared, located, "a")
    left(shared, located, "b")
    run = unfinished(shared, located, "a")
    assert (run.id, run.resumed) == (second, True)
    assert run.client.get_run(second).info.status == "RUNNING"


@pytest.mark.parametrize("status", ["FAILED", "FINISHED"])
def test_a_run_that_failed_or_finished_does_not_go_on_by_itself(shared, located, status):
    left(shared, located, status, status=status)
    assert unfinished(shared, located, status) is None


@pytest.mark.fault
def test_a_run_that_finished_while_its_store_was_gone_does_not_go_on_by_itself(shared, located):
    run_id = left(shared, located, "gone")  # marked as killed, as it is found by the next look
    shared.spool.mkdir(exist_ok=True)
    file_of(shared, run_id).write_text('[["train/loss", 2.0, 5, 2]]\n{"status": "FINISHED", "at": 1000}\n')
    assert unfinished(shared, located, "gone") is None
    found = open_store(shared).get_run(run_id)
    assert (found.info.status, found.info.end_time, found.data.metrics["train/loss"]) == ("FINISHED", 1000, 2.0)


def test_a_run_without_a_state_does_not_go_on_by_itself(shared, located):
    run_id = left(shared, located, "stateless")
    (shared.checkpoints / run_id / "state").unlink()
    assert unfinished(shared, located, "stateless") is None


@pytest.mark.fault
def test_a_run_is_in_the_hands_of_one_process(shared, located):
    run_id = left(shared, located, "held")
    command = [sys.executable, "-c", HOLD, str(shared.home), str(located.file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
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


LEAVE_RUNNING = """
import sys, time
from tracking.recipe_file import load
from tracking.run import Run
from tracking.settings import Settings
run = Run.start(Settings.read({"MILLSTREAM_HOME": sys.argv[1]}), load(sys.argv[2]))
print(run.id, flush=True)
time.sleep(600)
"""


HOLD = """
import sys, time
from tracking.recipe_file import load
from tracking.run import Run
from tracking.settings import Settings
settings = Settings.read({"MILLSTREAM_HOME": sys.argv[1]})
run = Run.unfinished(settings, load(sys.argv[2]), "held", lambda folder: True)
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


@pytest.mark.fault
def test_a_run_that_ended_without_its_store_is_marked_as_it_ended(settings, located):
    client, process, run_id = running(settings, located)
    process.kill()
    process.wait()
    with file_of(settings, run_id).open("a") as lines:
        lines.write('[["train/loss", 2.0, 5, 2]]\n{"status": "FINISHED", "at": 1000}\n{"sta')
    assert reap(client, settings) == [run_id]
    found = client.get_run(run_id)
    assert (found.info.status, found.info.end_time) == ("FINISHED", 1000)
    assert metrics_check(settings, send_spool=False) == (False, "1 runs have unsent metrics")
    assert metrics_check(settings, send_spool=True) == (True, "sent what 1 runs had left")
    assert course(client, run_id, "train/loss") == [(2, 2.0)]
    assert client.get_run(run_id).info.status == "FINISHED"


def test_what_a_run_left_is_not_sent_while_another_process_goes_on_with_it(shared, located):
    run_id = left(shared, located, "sent by the other")
    shared.spool.mkdir(exist_ok=True)
    file_of(shared, run_id).write_text('[["train/loss", 2.0, 5, 2]]\n')
    hold = Hold.take(shared.checkpoints / run_id)
    assert metrics_check(shared, send_spool=True) == (True, "sent what 0 runs had left")
    assert file_of(shared, run_id).exists()
    hold.release()
    assert metrics_check(shared, send_spool=True) == (True, "sent what 1 runs had left")
    assert not file_of(shared, run_id).exists()


def running(settings, located):
    """A client, a process with an open run, and the id of the run."""
    command = [sys.executable, "-c", LEAVE_RUNNING, str(settings.home), str(located.file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    run_id = process.stdout.readline().strip()
    return open_store(settings), process, run_id


def metrics_check(settings, send_spool):
    (found,) = [check for check in checks(settings, send_spool=send_spool) if check.name == "metrics"]
    return found.ok, found.found


@pytest.mark.fault
@pytest.mark.timeout(900)
def test_no_metric_is_lost_or_doubled_when_the_server_goes_and_comes_back(tmp_path, located, server, soak):
    settings = Settings.read({"MILLSTREAM_HOME": str(tmp_path / "home"), "MLFLOW_TRACKING_URI": server.uri})
    away_s = 600 if soak else 1
    with Run.start(settings, located) as run:
        for step in range(60):
            if step == 20:
                server.stop()
            if step == 40:
                server.start()
            started = time.monotonic()
            run.metrics({"train/loss": float(step)}, step=step)
            assert time.monotonic() - started < 5  # it waits for the disk alone, never for a time-out of the network
            time.sleep(away_s / 20 if 20 <= step < 40 else 0.05)
    assert course(run.client, run.id, "train/loss") == [(step, float(step)) for step in range(60)]
    assert unsent(settings) == []


@pytest.mark.fault
def test_a_run_whose_server_is_gone_for_good_ends_and_keeps_its_metrics(tmp_path, located, server, capsys):
    settings = Settings.read({"MILLSTREAM_HOME": str(tmp_path / "home"), "MLFLOW_TRACKING_URI": server.uri})
    with Run.start(settings, located) as run:
        server.stop()
        run.metrics({"train/loss": 3.0}, step=1)
    assert "millstream doctor --send" in capsys.readouterr().err
    (kept,) = unsent(settings)
    server.start()
    client = open_store(settings)
    assert reap(client, settings) == []  # this process is there still
    assert send(client, kept) == 2
    assert course(client, run.id, "train/loss") == [(1, 3.0)]
    assert client.get_run(run.id).info.status == "FINISHED"
    assert unsent(settings) == []


@pytest.mark.fault
def test_what_a_run_makes_while_its_server_is_gone_is_kept_and_sent_later(tmp_path, located, server, capsys):
    settings = Settings.read({"MILLSTREAM_HOME": str(tmp_path / "home"), "MLFLOW_TRACKING_URI": server.uri})
    model = tmp_path / "model"
    model.mkdir()
    (model / "MLmodel").write_text("flavors: {}\n")
    entry = Entry(recipe="mlp/small", about="", dataset_version="v", marks={}, metrics={})
    with Run.start(settings, located) as run:
        server.stop()
        run.figure("curve", Figure())
        run.text("notes/more.txt", "held")
        run.tag(passed="true")
        assert run.model(model, entry) == str(model)  # where it can be read until the server is there again
    assert f"the model is kept in {model}" in capsys.readouterr().err
    server.start()
    assert metrics_check(settings, send_spool=True) == (True, "sent what 1 runs had left")
    client = open_store(settings)
    assert {one.path for one in client.list_artifacts(run.id)} >= {"figures", "notes", "model"}
    assert [one.path for one in client.list_artifacts(run.id, "figures")] == ["figures/curve.png"]
    assert [one.path for one in client.list_artifacts(run.id, "model")] == ["model/MLmodel"]
    found = client.get_run(run.id)
    assert (found.info.status, found.data.tags["passed"]) == ("FINISHED", "true")
    assert client.get_model_version_by_alias("mlp.small", "champion").run_id == run.id
    assert list(settings.spool.iterdir()) == []


@pytest.mark.fault
def test_a_run_that_is_stopped_leaves_a_server_that_hangs_and_keeps_how_it_ended(tmp_path, located, server, capsys):
    settings = Settings.read({"MILLSTREAM_HOME": str(tmp_path / "home"), "MLFLOW_TRACKING_URI": server.uri})
    run = Run.start(settings, located)
    server.freeze()
    run.metrics({"train/loss": 3.0}, step=1)
    started = time.monotonic()
    with pytest.raises(Stopped), run:
        raise Stopped(15, "last.ckpt")
    assert time.monotonic() - started < LEAVE_WITHIN_S + 10  # one request waits 20 s for an answer
    assert "millstream doctor --send" in capsys.readouterr().err
    server.thaw()
    run.spool._thread.join()  # what it still waits for may be answered now
    client = open_store(settings)
    send(client, file_of(settings, run.id))
    found = client.get_run(run.id)
    assert found.info.status == "KILLED"
    assert found.data.tags["ended"] == "Stopped: stopped by SIGTERM; state saved in last.ckpt"
    assert found.data.tags["go_on"] == run.go_on
    assert course(client, run.id, "train/loss") == [(1, 3.0)]
    assert list(settings.spool.iterdir()) == []


@pytest.mark.fault
def test_what_a_run_could_not_tell_of_its_end_is_told_and_gone_when_it_goes_on(settings, located):
    run_id = left(settings, located, "told late")
    settings.spool.mkdir(exist_ok=True)
    end = {"status": "KILLED", "at": 1000, "tags": {"ended": "Stopped: x", "go_on": "millstream train"}}
    file_of(settings, run_id).write_text(json.dumps(end) + "\n")
    again = unfinished(settings, located, "told late")
    assert again.id == run_id
    found = again.client.get_run(run_id)
    assert found.info.status == "RUNNING"
    assert not {"ended", "go_on"} & found.data.tags.keys()
    again.finish("KILLED")
    file_of(settings, run_id).write_text(json.dumps(end) + "\n")
    third = Run.resume(settings, located, run_id)
    assert not {"ended", "go_on"} & third.client.get_run(run_id).data.tags.keys()
    third.finish()


def test_what_was_sent_before_a_crash_is_not_sent_again(settings, located):
    run = Run.start(settings, located)
    run.metrics({"train/loss": 1.0}, step=0)
    run.finish()
    settings.spool.mkdir(exist_ok=True)
    lines = [f'[["train/loss", {step}.0, {1000 + step}, {step}]]\n' for step in range(3)]
    (settings.spool / f"{run.id}.jsonl").write_text("".join(lines) + '[["train/lo')
    (settings.spool / f"{run.id}.sent").write_text("2")
    assert send(run.client, settings.spool / f"{run.id}.jsonl") == 1
    assert course(run.client, run.id, "train/loss") == [(0, 1.0), (2, 2.0)]
    assert unsent(settings) == []  # half a line is nothing to send, and no reason to be reminded of it for good
    assert list(settings.spool.iterdir()) == []

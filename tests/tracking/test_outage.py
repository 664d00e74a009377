import json
import time

import pytest
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from millstream.tracking.errors import Stopped
from millstream.tracking.health import checks
from millstream.tracking.runs.champion import Entry
from millstream.tracking.runs.metric_spool import file_of, send, unsent
from millstream.tracking.runs.mlflow_store import open_store
from millstream.tracking.runs.registry import register
from millstream.tracking.runs.run import LEAVE_WITHIN_S, Run
from millstream.tracking.runs.run_lock import Hold, reap
from millstream.tracking.settings import Settings
from tests.tracking.server import Server
from tests.tracking.started_runs import course, left, running, unfinished


@pytest.fixture(scope="module")
def one_server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.stop()


@pytest.fixture
def server(one_server):
    if one_server.process is None:
        one_server.start()
    return one_server


@pytest.mark.fault
def test_a_run_that_finished_while_its_store_was_gone_is_not_resumed_by_itself(shared, located):
    run_id = left(shared, located, "gone")  # marked as killed, as it is found by the next look
    shared.spool.mkdir(exist_ok=True)
    file_of(shared, run_id).write_text('[["train/loss", 2.0, 5, 2]]\n{"status": "FINISHED", "at": 1000}\n')
    assert unfinished(shared, located, "gone") is None
    found = open_store(shared).get_run(run_id)
    assert (found.info.status, found.info.end_time, found.data.metrics["train/loss"]) == ("FINISHED", 1000, 2.0)


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


def test_what_a_run_left_is_not_sent_while_another_process_continues_it(shared, located):
    run_id = left(shared, located, "sent by the other")
    shared.spool.mkdir(exist_ok=True)
    file_of(shared, run_id).write_text('[["train/loss", 2.0, 5, 2]]\n')
    hold = Hold.take(shared.checkpoints / run_id)
    assert metrics_check(shared, send_spool=True) == (True, "sent what 0 runs had left")
    assert file_of(shared, run_id).exists()
    hold.release()
    assert metrics_check(shared, send_spool=True) == (True, "sent what 1 runs had left")
    assert not file_of(shared, run_id).exists()


ENTRY = Entry(recipe="mlp/small", about="", dataset_version="v", marks={}, metrics={})


def model_in(folder):
    (folder / "model").mkdir()
    (folder / "model" / "MLmodel").write_text("flavors: {}\n")
    return folder / "model"


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
    assert reap(client, settings) == [run.id]  # this process is alive, and works on it no more
    assert client.get_run(run.id).info.status == "FINISHED"
    assert send(client, kept) == 2
    assert course(client, run.id, "train/loss") == [(1, 3.0)]
    assert client.get_run(run.id).info.status == "FINISHED"
    assert unsent(settings) == []


@pytest.mark.fault
def test_what_a_run_makes_while_its_server_is_gone_is_kept_and_sent_later(tmp_path, located, server, capsys):
    settings = Settings.read({"MILLSTREAM_HOME": str(tmp_path / "home"), "MLFLOW_TRACKING_URI": server.uri})
    model = model_in(tmp_path)
    with Run.start(settings, located) as run:
        server.stop()
        run.figure("curve", Figure())
        run.text("notes/more.txt", "held")
        run.tag(passed="true")
        run.params({"fit": {"lanes": 4}})
        assert run.model(model, ENTRY) == str(model)  # where it can be read until the server is there again
    assert f"the model is kept in {model}" in capsys.readouterr().err
    server.start()
    assert metrics_check(settings, send_spool=True) == (True, "sent what 1 runs had left")
    client = open_store(settings)
    assert {one.path for one in client.list_artifacts(run.id)} >= {"figures", "notes", "model"}
    assert [one.path for one in client.list_artifacts(run.id, "figures")] == ["figures/curve.png"]
    assert [one.path for one in client.list_artifacts(run.id, "model")] == ["model/MLmodel"]
    found = client.get_run(run.id)
    assert (found.info.status, found.data.tags["passed"]) == ("FINISHED", "true")
    assert found.data.params["fit.lanes"] == "4"
    assert client.get_model_version_by_alias("mlp.small", "champion").run_id == run.id
    assert list(settings.spool.iterdir()) == []


@pytest.mark.fault
@pytest.mark.parametrize("is_overtaken", [False, True])
def test_a_model_is_registered_once_when_the_answer_is_lost(settings, located, tmp_path, monkeypatch, is_overtaken):
    run_id, other = left(settings, located, "unanswered"), left(settings, located, "other")
    settings.spool.mkdir(exist_ok=True)
    line = {"model": str(model_in(tmp_path)), "entry": ENTRY.model_dump()}
    file_of(settings, run_id).write_text(json.dumps(line) + "\n")
    create = MlflowClient.create_model_version

    def unanswered(*words, **more):
        create(*words, **more)
        raise MlflowException("the connection was closed") from ConnectionResetError()

    with monkeypatch.context() as cut:
        cut.setattr(MlflowClient, "create_model_version", unanswered)
        ok, found = metrics_check(settings, send_spool=True)
        assert not ok
        assert f"run {run_id}, not sent: {settings.tracking_uri}: " in found
        assert "the connection was closed" in found
    client = open_store(settings)
    if is_overtaken:
        register(client, other, ENTRY)
    assert metrics_check(settings, send_spool=True) == (True, "sent what 1 runs had left")
    found = {one.version: one.run_id for one in client.search_model_versions("name = 'mlp.small'")}
    assert found == {1: run_id} | ({2: other} if is_overtaken else {})
    candidate = client.get_model_version_by_alias("mlp.small", "candidate")
    assert candidate.run_id == (other if is_overtaken else run_id)  # the newest, whichever is sent last


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
def test_an_end_that_a_run_could_not_send_is_sent_and_gone_when_it_is_resumed(settings, located):
    run_id = left(settings, located, "sent late")
    settings.spool.mkdir(exist_ok=True)
    end = {"status": "KILLED", "at": 1000, "tags": {"ended": "Stopped: x", "go_on": "millstream train"}}
    file_of(settings, run_id).write_text(json.dumps(end) + "\n")
    again = unfinished(settings, located, "sent late")
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

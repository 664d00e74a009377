import errno
import fcntl
import os
import shutil

import pytest
from mlflow import MlflowClient

from millstream.tracking.errors import BadEnvironment
from millstream.tracking.runs.earlier_runs import out_of_reach
from millstream.tracking.runs.mlflow_store import open_store
from millstream.tracking.runs.run import Run
from millstream.tracking.runs.run_lock import Hold, reap
from tests.tracking.started_runs import has_state, left, running, unfinished


def elsewhere(client, run_id, host="another"):
    """As if a process on another host had done it."""
    client.set_tag(run_id, "hosts", host)


@pytest.mark.fault
def test_in_a_shared_home_the_lock_shows_who_is_alive_and_not_the_name_of_the_host(settings, located):
    client, process, run_id = running(settings, located, child=True)
    elsewhere(client, run_id)
    assert reap(client, settings) == []
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie: its parent has not waited for it
    assert reap(client, settings) == [run_id]
    assert client.get_run(run_id).info.status == "KILLED"
    process.wait()


@pytest.mark.fault
def test_where_no_lock_is_seen_a_zombie_of_this_host_is_dead_and_another_host_is_not_judged(settings, located):
    client, process, run_id = running(settings, located, child=True)
    shutil.rmtree(settings.checkpoints / run_id)  # its home is another one
    assert reap(client, settings) == []
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    elsewhere(client, run_id)
    assert reap(client, settings) == []
    client.set_tag(run_id, "hosts", os.uname().nodename)
    assert reap(client, settings) == [run_id]
    process.wait()


@pytest.mark.fault
def test_a_container_continues_the_work_of_the_one_before(shared, located):
    run = Run.start(shared, located)
    run.tag(identity="container")
    (run.folder / "state").touch()
    elsewhere(run.client, run.id)
    run._hold.release()  # the kernel does so when the container is gone
    run.spool.close(run.client)
    assert unfinished(shared, located, "container").id == run.id


def test_a_run_that_is_handed_over_is_not_left_behind(shared, located):
    run = Run.start(shared, located)
    elsewhere(run.client, run.id)
    run.hand_over()
    assert run.id not in reap(run.client, shared)
    assert Run.resume(shared, located, run.id).finish()


def test_a_run_that_was_ended_by_another_process_keeps_its_end(shared, located, monkeypatch):
    run = Run.start(shared, located)
    client, search = open_store(shared), MlflowClient.search_runs

    def slowly(*words, **more):
        found = search(*words, **more)
        if run._hold is not None:
            run.finish("FINISHED")
            run._hold = None
        return found

    monkeypatch.setattr(MlflowClient, "search_runs", slowly)
    assert run.id not in reap(client, shared)
    assert client.get_run(run.id).info.status == "FINISHED"


@pytest.mark.fault
def test_a_run_whose_state_is_on_another_host_is_out_of_reach(shared, located):
    killed, lost = left(shared, located, "away"), Run.start(shared, located)
    lost.tag(identity="away")
    for run_id in (killed, lost.id):
        elsewhere(lost.client, run_id)
        shutil.rmtree(shared.checkpoints / run_id)
    assert unfinished(shared, located, "away") is None
    first, second = out_of_reach(shared, located, {"identity": "away"}, has_state)
    here = f"is not in {shared.checkpoints}"
    assert first.startswith(
        f"run {lost.id} is held by host {os.uname().nodename} (process {os.getpid()}, lease renewed "
    )
    assert first.endswith(f"and its state {here}")
    lost.lease.release()  # as one that was started before there were leases
    first, _ = out_of_reach(shared, located, {"identity": "away"}, has_state)
    assert first == f"run {lost.id} of host another is not known to have ended, and its state {here}"
    assert second.startswith(f"run {killed} of host another was interrupted, and no checkpoint of it is in ")
    for status, reported in (("FAILED", [second]), ("FINISHED", [])):
        lost.client.set_terminated(lost.id, status)
        assert list(out_of_reach(shared, located, {"identity": "away"}, has_state)) == reported


@pytest.mark.fault
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS], ids=os.strerror)
def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch, number):
    def refuse(*words):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(BadEnvironment, match=r"cannot lock it .*; mount it with locks") as refused:
        Hold.take(tmp_path / "run")
    assert refused.value.faults[0].where.startswith(str(tmp_path))

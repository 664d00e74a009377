import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from millstream.tracking.errors import BadEnvironment, WrongRecipe
from millstream.tracking.health import checks
from millstream.tracking.runs import lease
from millstream.tracking.runs.lease import Holder, is_over
from millstream.tracking.runs.metric_spool import unsent
from millstream.tracking.runs.mlflow_store import open_store
from millstream.tracking.runs.run import Run
from millstream.tracking.runs.run_lock import reap
from tests.tracking.started_runs import course, left

START = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS = 60.0


@pytest.fixture
def hosts(shared, tmp_path):
    """Settings of so many hosts, each with a home of its own, whose runs lie in one tracking store and whose
    checkpoints in one store of checkpoints."""

    def host(at):
        home = tmp_path / f"host {at}"
        return shared.model_copy(update={"home": home, "checkpoint_place": "s3://bucket/runs"}).with_home()

    return host


def elsewhere(run):
    """As if the process of a run were on another host."""
    run.client.set_tag(run.id, "hosts", "another")


def test_a_run_shows_who_holds_it_as_long_as_somebody_does(shared, located):
    with Run.start(shared, located) as run:
        held = json.loads(run.client.get_run(run.id).data.tags["lease"])
        assert (held["host"], held["pid"], held["seconds"]) == (os.uname().nodename, os.getpid(), 60)
        run.lease._renew()
        again = json.loads(run.client.get_run(run.id).data.tags["lease"])
        assert again["renewed"] > again["since"] >= held["since"]
    assert "lease" not in run.client.get_run(run.id).data.tags
    left_over = left(shared, located, "stopped")
    assert "lease" not in run.client.get_run(left_over).data.tags


@pytest.mark.fault
def test_of_many_hosts_that_take_a_run_at_once_one_has_it(hosts, located):
    run_id = left(hosts(0), located, "wanted")
    settings = [hosts(at) for at in range(1, 5)]
    for one in settings:
        open_store(one)

    def take(one):
        try:
            return Run.resume(one, located, run_id)
        except WrongRecipe as refused:
            return str(refused)

    with ThreadPoolExecutor(len(settings)) as pool:
        found = list(pool.map(take, settings))
    (run,) = [one for one in found if isinstance(one, Run)]
    assert sum("another process works on it" in one for one in found if isinstance(one, str)) == len(settings) - 1
    assert [name for name in run.client.get_run(run_id).data.params if name.startswith("lease")] == ["lease.2"]
    assert run.finish()


@pytest.mark.fault
def test_a_run_whose_host_is_lost_is_taken_over_and_an_earlier_holder_that_wakes_up_changes_nothing(
    hosts, located, monkeypatch
):
    first = Run.start(hosts(1), located)
    elsewhere(first)
    first.lease.stop()  # its host is suspended
    monkeypatch.setattr(lease, "is_over", lambda *words: True)  # after a minute: see below
    second = Run.unfinished(hosts(2), located, {"recipe": located.name}, lambda folder: folder.name == first.id)
    assert second.id == first.id
    second.metrics({"loss": 1.0}, step=1)
    first.lease._ended.clear()
    first.lease._renewed_s -= 61
    with pytest.raises(BadEnvironment, match="another process has taken it"):
        first.lease.check()
    first.spool.add({"loss": 2.0}, step=1)
    with pytest.raises(BadEnvironment), first:
        first.metrics({"loss": 3.0}, step=2)
    found = second.client.get_run(second.id)
    assert (found.info.status, "lease" in found.data.tags) == ("RUNNING", True)
    # nor does its home hold for abandoned what another one has
    assert reap(first.client, hosts(1)) == []
    assert second.finish()
    # what it could not send before it was lost, its end among it, is not sent later either
    first.spool._write({"status": "KILLED", "at": 0, "tags": {}})
    first.spool._out.close()  # as the end of its process does
    assert unsent(hosts(1)) == [first.spool.file]
    assert all(check.ok for check in checks(hosts(1), send_spool=True))
    assert unsent(hosts(1)) == []
    assert course(second.client, second.id, "loss") == [(1, 1.0)]
    assert second.client.get_run(second.id).info.status == "FINISHED"


@pytest.mark.fault
def test_a_run_of_a_host_that_never_came_back_is_ended_by_any_other(shared, hosts, located):
    lost = Run.start(hosts(1), located)
    elsewhere(lost)
    lost.lease.stop()
    tag = json.loads(lost.client.get_run(lost.id).data.tags["lease"])
    for age, ended in ((300, []), (700, [lost.id])):
        before = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
        lost.client.set_tag(lost.id, "lease", json.dumps({**tag, "renewed": before}))
        assert reap(lost.client, hosts(2)) == ended
    found = lost.client.get_run(lost.id)
    assert (found.info.status, "lease" in found.data.tags) == ("KILLED", False)


class World:
    """A clock of the watching host, and a holder whose clock is wrong by `skew_s` and that renews until `dies_at`."""

    def __init__(self, skew_s, dies_at):
        self.now, self.skew_s, self.dies_at, self.released = 0.0, skew_s, dies_at, False

    def get_run(self, run_id):
        every = SECONDS / lease.RENEWALS
        renewed = min(self.now, self.dies_at) // every * every
        clock = START + timedelta(seconds=renewed + self.skew_s)
        held = Holder(host="another", pid=1, since=clock, renewed=clock, seconds=SECONDS)
        tags = {} if self.released else {"lease": held.model_dump_json()}
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id), data=SimpleNamespace(tags=tags, params={}))

    def sleep(self, seconds):
        self.now += seconds


def watched(monkeypatch, world, at):
    """Whether the lease is over to a process that begins to look at it then; and what it reports."""
    monkeypatch.setattr(lease, "time", SimpleNamespace(sleep=world.sleep, monotonic=lambda: world.now))
    monkeypatch.setattr(lease, "_now", lambda: START + timedelta(seconds=world.now))
    world.now, lines = at, []
    return is_over(world, world.get_run("7"), SECONDS, lines.append), lines


@pytest.mark.parametrize("skew_s", [-500, -45, 0, 45, 10**6])
def test_who_renews_its_lease_is_never_held_for_dead_however_wrong_its_clock_is(monkeypatch, skew_s):
    for at in range(600, 700, 7):
        assert watched(monkeypatch, World(skew_s, dies_at=10**9), at)[0] is False


@pytest.mark.fault
@pytest.mark.parametrize("skew_s", [-45, 0, 45])
@pytest.mark.parametrize("dead_s", [0, 20, 50, 100, 700])
def test_a_lease_ends_a_minute_after_its_last_renewal_or_when_it_has_been_watched_long_enough(
    monkeypatch, skew_s, dead_s
):
    world = World(skew_s, dies_at=1000)
    over, lines = watched(monkeypatch, world, 1000 + dead_s)
    assert over
    waited = world.now - 1000 - dead_s
    assert waited <= SECONDS * 1.1
    assert waited >= SECONDS / 3 or dead_s == 700
    if skew_s == 0 and dead_s != 700:
        assert world.now - 1000 >= SECONDS - SECONDS / lease.RENEWALS
    assert bool(lines) == (dead_s != 700)


def test_a_lease_that_is_released_is_over_at_once(monkeypatch):
    world = World(0, dies_at=10**9)
    run = world.get_run("7")
    world.released = True
    monkeypatch.setattr(lease, "time", SimpleNamespace(sleep=world.sleep, monotonic=lambda: world.now))
    assert is_over(world, run, SECONDS, str)
    assert world.now < SECONDS / lease.RENEWALS

"""Several hosts with disks of their own: the same bits, and an end in time when one of them is lost."""

from __future__ import annotations

import signal
import time

import pytest

from millstream.pipelines import prepare
from millstream.tracking.recipe.loader import load
from millstream.tracking.settings import Settings
from millstream.training.distributed.liveness import ANSWER_WITHIN_S
from millstream.training.distributed.ranks import LEAVE_WITHIN_S
from tests.hosts import network
from tests.journey.command import answer
from tests.journey.test_ranks import LENET

pytestmark = [pytest.mark.hosts, pytest.mark.spark]
TIMEOUT_S = 20
BUSY_S = 60
"""What a busy machine may add; before the waits were bounded, it was a quarter of an hour."""
EXACT = ("--set", "fit.exact=true", "--set", f"fit.timeout_s={TIMEOUT_S}", "--fresh")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, spark):
    """A recipe whose dataset lies where all hosts see it."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "lenet.yaml").write_text(LENET)
    settings = Settings.read({"MILLSTREAM_HOME": str(folder)})
    prepare.prepare(load(str(folder / "lenet.yaml")), settings, say=lambda line: None)
    return folder / "lenet.yaml"


@pytest.fixture
def hosts(tmp_path):
    with network(tmp_path, "alfa", "bravo") as made:
        yield made


def trained(hosts, recipe, *words, **environment):
    """One process on each host, as torchrun starts them, but without its agent."""
    common = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "MASTER_PORT": "29500"}
    store = {"MILLSTREAM_STORE": str(recipe.parent / "datasets"), "MASTER_ADDR": hosts[0].address}
    return [
        host.millstream("train", str(recipe), *words, RANK=str(rank), **common, **store, **environment)
        for rank, host in enumerate(hosts)
    ]


@pytest.mark.fault
@pytest.mark.slow
def test_a_run_whose_state_is_on_the_first_host_alone_is_resumed_with_its_best_weights(here, hosts, recipe):
    best = [word for word in EXACT if word != "--fresh"] + ["--set", "fit.keep=best", "--set", "fit.epochs=6"]
    stopped, other = trained(hosts, recipe, *best)
    first_line(stopped, "epoch")
    stopped.send_signal(signal.SIGTERM)
    answer(stopped, 143)
    other.communicate(timeout=60)
    assert list(hosts[0].disk.rglob("*.ckpt"))
    assert not list(hosts[1].disk.rglob("*.ckpt"))
    first, second = trained(hosts, recipe, *best)
    both = answer(first)
    assert "resumes from step" in both["stderr"]
    assert second.communicate(timeout=60) is not None
    assert second.returncode == 0
    assert both["weights"] == here(recipe.parent, "train", str(recipe), *best, "--fresh")["weights"]


def first_line(process, start):
    """The first line on stderr that starts so; the process has not ended before."""
    return next(line for line in process.stderr if line.startswith(start))


def test_one_process_on_each_host_has_the_bits_of_one_process(here, hosts, recipe):
    first, second = trained(hosts, recipe, *EXACT)
    both = answer(first)
    out, err = second.communicate(timeout=60)
    assert (second.returncode, out) == (0, ""), err
    alone = here(recipe.parent, "train", str(recipe), *EXACT)
    assert both["weights"] == alone["weights"]


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.parametrize("how", ["power", "partition"])
def test_a_rank_ends_in_time_when_the_host_of_the_first_one_is_lost(hosts, recipe, how):
    first, second = trained(hosts, recipe, *EXACT, "--set", "fit.epochs=500")
    first_line(first, "epoch")
    hosts[0].lose_power() if how == "power" else hosts[0].cut()
    lost = time.monotonic()
    refused = answer(second, 4)
    assert time.monotonic() - lost < TIMEOUT_S + ANSWER_WITHIN_S + LEAVE_WITHIN_S + BUSY_S
    assert "rank 0 on host alfa does not answer" in refused["faults"][0]["message"]
    if how == "partition":
        refused = answer(first, 4)
        assert "rank 1 on host bravo does not answer" in refused["faults"][0]["message"]

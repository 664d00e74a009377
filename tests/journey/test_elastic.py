"""Two hosts that share nothing but an S3 and an MLflow server train one run under torchrun, and lose power in turn."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time

import pytest
from mlflow import MlflowClient

from tests.hosts import network
from tests.journey.command import answer
from tests.journey.test_ranks import LENET
from tests.s3 import BUCKET, SERVE

pytestmark = [pytest.mark.hosts, pytest.mark.slow, pytest.mark.fault, pytest.mark.timeout(3600)]
WITHIN_S = 400
EPOCHS = 60
EXACT = ("--set", "fit.exact=true", "--set", f"fit.epochs={EPOCHS}", "--set", "fit.timeout_s=15")
"""In exact mode the weights are those of the same global batches in the same order, and of no others."""
RENDEZVOUS = """
import sys, threading
from torch.distributed import TCPStore
store = TCPStore("0.0.0.0", 29400, is_master=True, wait_for_workers=False)
print("listening", flush=True)
threading.Event().wait()
"""
MAKE_BUCKET = "import boto3; boto3.client('s3').create_bucket(Bucket='{}'); print('listening', flush=True)"
STORES = {
    "AWS_ENDPOINT_URL": "http://services:9000",
    "AWS_ACCESS_KEY_ID": "a-key",
    "AWS_SECRET_ACCESS_KEY": "a-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "MLFLOW_TRACKING_URI": "http://services:5000",
    "MILLSTREAM_STORE": f"s3://{BUCKET}/datasets",
    "MILLSTREAM_CHECKPOINTS": f"s3://{BUCKET}/runs",
    "MILLSTREAM_LEASE_S": "20",
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
}


class Hosts:
    """Two that train, and one with the services, on which the agents meet, too."""

    def __init__(self, made, folder):
        *self.trainers, self.services = made
        self.folder, self.count = folder, 0
        self.recipe = folder / "lenet.yaml"
        self.recipe.write_text(LENET)

    def start(self):
        disk = self.services.network.disk
        serve = ["-m", "mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--allowed-hosts", "services:5000"]
        serve += ["--backend-store-uri", f"sqlite:///{disk}/mlflow.db", "--artifacts-destination", f"{disk}/artifacts"]
        self._serve("s3", "-c", SERVE, "0.0.0.0", "9000")
        self._serve(
            "mlflow", *serve, "--workers", "1", wanted="startup complete", MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"
        )
        self._serve("rendezvous", "-c", RENDEZVOUS, wanted="listening")
        self._serve("bucket", "-c", MAKE_BUCKET.format(BUCKET), wanted="listening")
        answer(self.trainers[0].millstream("prepare", str(self.recipe), **STORES))

    def _serve(self, name, *words, wanted="", **more):
        log = self.folder / f"{name}.log"
        self.services.start([sys.executable, *words], {**os.environ, **STORES, **more}, log)
        until(lambda: wanted in log.read_text() and log.stat().st_size, log)

    def alone(self):
        """The weights of a training that nobody disturbs."""
        return answer(self.trainers[0].millstream("train", str(self.recipe), *EXACT, "--fresh", **STORES))["weights"]

    def torchrun(self, host, name, *words):
        """An agent on a host; returns its process and what it and its ranks print."""
        self.count += 1
        log = self.folder / f"{self.count:03} {name} on {host.name}.log"
        elastic = ["--nnodes", "1:2", "--nproc-per-node", "1", "--max-restarts", "20", "--rdzv-id", name]
        elastic += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "services:29400", "--rdzv-conf", "last_call_timeout=5"]
        train = ["-m", "millstream", "train", str(self.recipe), *EXACT, *words, "--json"]
        own = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        home = {"MILLSTREAM_HOME": str(host.network.disk / "home")}
        return host.start(
            [sys.executable, "-m", "torch.distributed.run", *elastic, *train], own | STORES | home, log
        ), log

    def runs(self):
        """All runs of the recipe in the tracking store."""
        client = MlflowClient(f"sqlite:///{self.services.disk}/mlflow.db")
        return client.search_runs([client.get_experiment_by_name("lenet").experiment_id])


def until(is_true, *logs):
    end = time.monotonic() + WITHIN_S
    while not is_true():
        assert time.monotonic() < end, "\n\n".join(f"{log}\n{log.read_text(errors='replace')[-4000:]}" for log in logs)
        time.sleep(0.2)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elastic")
    with network(folder, "alfa", "bravo", "services") as made:
        found = Hosts(made, folder)
        found.start()
        yield found


@pytest.fixture(scope="module")
def unbroken(hosts):
    return hosts.alone()


class Elastic:
    """A run that both hosts train, each with an agent of torchrun."""

    def __init__(self, hosts, name):
        self.hosts, self.name, self.logs = hosts, name, []
        self.before = {run.info.run_id for run in hosts.runs()}
        self.agents = {host.name: self._agent(host) for host in hosts.trainers}

    def _agent(self, host):
        process, log = self.hosts.torchrun(host, self.name)
        self.logs.append(log)
        return process

    @property
    def epochs(self):
        return sum(line.startswith("epoch ") for line in self.lines)

    @property
    def lines(self):
        return [line for log in self.logs for line in log.read_text(errors="replace").splitlines()]

    @property
    def has_ended(self):
        """Whether the run is done. Agents that a loss during their rendezvous has ended are started again under another
        name, as `docs/ranks.md` advises: torch has closed the rendezvous."""
        if any(agent.poll() is None for agent in self.agents.values()):
            return False
        if any(line.startswith('{"run_id"') for line in self.lines):
            return True
        assert "Rendezvous" in "\n".join(self.lines), "\n".join(self.lines)
        self.name += "x"
        self.agents = {host.name: self._agent(host) for host in self.hosts.trainers}
        return False

    def progresses(self):
        """Waits for two more epochs to be reported, or the end."""
        done = self.epochs
        until(lambda: self.epochs > done + 1 or self.has_ended, *self.logs)

    def kill(self, host):
        """The host loses power, the other one continues alone, then both do."""
        host.lose_power()
        self.progresses()
        host.come_back()
        self.agents[host.name] = self._agent(host)

    def result(self):
        """What the rank reported that finished it, and the run in the tracking store."""
        until(lambda: self.has_ended, *self.logs)
        found = [json.loads(line) for line in self.lines if line.startswith('{"run_id"')]
        runs = [run for run in self.hosts.runs() if run.info.run_id not in self.before]
        assert len(found) == len(runs) == 1, "\n".join(self.lines)
        return found[0], runs[0]


def test_hosts_lose_power_in_turn_and_the_run_continues_by_itself_to_the_same_weights(hosts, unbroken, soak):
    draw, kills, runs = random.Random(0), 0, 0
    while kills < (20 if soak else 2):
        run = Elastic(hosts, f"run{runs}")
        runs += 1
        run.progresses()
        while kills < (20 if soak else 2) and not run.has_ended:
            time.sleep(draw.uniform(0, 5))
            run.kill(hosts.trainers[draw.randrange(2) if soak else kills])
            kills += 1
            run.progresses()
        result, stored = run.result()
        assert result["weights"] == unbroken
        assert (stored.info.run_id, stored.info.status) == (result["run_id"], "FINISHED")
        assert any("resumes from step" in line for line in run.lines)


def test_a_process_that_wakes_up_after_another_host_has_taken_its_run_changes_nothing(hosts, unbroken):
    """Without torchrun: the same command on another host, while the first one hangs."""
    before = {run.info.run_id for run in hosts.runs()}
    train = ("train", str(hosts.recipe), *EXACT)
    hanging = hosts.trainers[0].millstream(*train, **STORES)
    next(line for line in hanging.stderr if line.startswith("epoch"))
    hanging.send_signal(signal.SIGSTOP)
    result = answer(hosts.trainers[1].millstream(*train, **STORES))
    assert "waiting for at most" in result["stderr"]
    assert result["weights"] == unbroken
    hanging.send_signal(signal.SIGCONT)
    refused = answer(hanging, 4)
    assert "another process has taken it" in refused["stderr"]
    (run,) = [run for run in hosts.runs() if run.info.run_id not in before]
    assert (run.info.run_id, run.info.status) == (result["run_id"], "FINISHED")
    assert run.data.tags["hosts"] == "bravo"

"""Runs that are killed or stopped inside an epoch end with the weights of unbroken ones."""

from __future__ import annotations

import random
import signal
import time

import pytest

from millstream.pipelines import prepare
from millstream.tracking.recipe.loader import load
from millstream.tracking.settings import Settings
from tests.journey.command import answer, completed, started, wait_for

DATA = """
data:
  source: {name: digits, limit: 600}
  steps:
    - split: {by: stratified, valid: 0.1, test: 0.2}
    - scale: {column: image, method: unit, high: 16}
"""
RECIPES = {
    "lenet": DATA
    + """
about: one optimizer, a schedule, the best weights kept
task: {name: classify, target: label}
network: {name: cnn/lenet, channels: [4, 8], norm: batch}
fit:
  {epochs: 6, batch_size: 32, seed: 7, threads: 1, keep: best, checkpoint_every: 3,
   optimizer: {name: adamw, lr: 3.0e-3}, schedule: {name: onecycle}}
""",
    "mean": DATA
    + """
about: a mean of the weights, a rate that falls when nothing gets better, an early end, batches in parts
task: {name: classify, target: label}
network: {name: cnn/lenet, channels: [4, 8], norm: group, dropout: 0.1}
fit:
  {epochs: 8, batch_size: 32, seed: 7, threads: 1, checkpoint_every: 3, keep: best, keep_last: 3, init: he,
   accumulate: 2, l2: 1.0e-4, clip: 1.0, nan: skip, warm_up: 0.1, average: {name: ema, decay: 0.9},
   optimizer: {name: sgd, lr: 0.1, momentum: 0.9, nesterov: true},
   schedule: {name: plateau, patience: 1, least: 0.05}, early_stop: {patience: 3, least: 0.05}}
""",
    "gan": DATA
    + """
about: two optimizers, draws inside the step
task: {name: adversarial}
network: {name: generative/gan, latent: 8, channels: 4}
fit: {epochs: 6, batch_size: 32, seed: 7, threads: 1, checkpoint_every: 3, optimizer: {name: adam, lr: 1.0e-3}}
""",
    "vae": DATA
    + """
about: draws inside the step and the test
task: {name: variational, samples: 50, images: 5}
network: {name: generative/vae, latent: 4, hidden: [32]}
fit: {epochs: 6, batch_size: 32, seed: 7, threads: 1, checkpoint_every: 3, optimizer: {name: adam, lr: 1.0e-3}}
""",
    "dqn": """
about: an environment in the middle of an episode, a replay memory, a target network
environment: {name: gymnasium, id: CartPole-v1}
task: {name: reinforce/dqn, steps: 6000, memory: 2000, warm_up: 500, episodes: 3, valid_episodes: 1, learn: 16}
network: {name: mlp/mlp, hidden: [32]}
fit: {epochs: 4, batch_size: 32, seed: 7, threads: 1, checkpoint_every: 3, optimizer: {name: adam, lr: 1.0e-3}}
""",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory, spark):
    """A home in which the dataset of all recipes here is prepared."""
    home = tmp_path_factory.mktemp("resumed runs")
    for name, text in RECIPES.items():
        (home / f"{name}.yaml").write_text(text)
    prepare.prepare(
        load(str(home / "lenet.yaml")), Settings.read({"MILLSTREAM_HOME": str(home)}), say=lambda message: None
    )
    return home


class Unbroken:
    """One training of each recipe that nobody disturbs, beside those that are interrupted."""

    def __init__(self, home):
        self.home, self.running, self.ended = home, {}, {}

    def begin(self, name):
        if name not in self.running:
            self.running[name] = started(self.home, "train", str(self.home / f"{name}.yaml"), "--fresh")

    def answer(self, name):
        if name not in self.ended:
            self.begin(name)
            self.ended[name] = answer(self.running[name])
        return self.ended[name]


@pytest.fixture(scope="module")
def unbroken(home):
    return Unbroken(home)


@pytest.mark.fault
@pytest.mark.spark
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "mean")) for name in RECIPES])
def test_a_run_killed_inside_an_epoch_is_resumed_to_the_same_weights(home, unbroken, name, soak):
    recipe, generator = str(home / f"{name}.yaml"), random.Random(name)
    for _ in range(20 if soak else 1):  # five recipes: 100 kills
        killed = started(home, "train", recipe, "--fresh")
        unbroken.begin(name)
        run = run_of(killed, home)
        time.sleep(generator.uniform(0, 0.3))
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        # one of them by its name, the others by the same command again
        resumed = completed(home, "train", recipe, *(("--resume", run) if name == "gan" else ()))
        assert resumed["run_id"] == run
        assert name == "gan" or f"run {run} was interrupted and resumes from step" in resumed["stderr"]
        assert resumed["weights"] == unbroken.answer(name)["weights"]
        assert resumed["metrics"] == unbroken.answer(name)["metrics"]


@pytest.mark.fault
@pytest.mark.spark
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_a_run_that_is_stopped_saves_its_state(home, unbroken, number, code):
    recipe = str(home / "mean.yaml")
    stopped = started(home, "train", recipe, "--fresh")
    run = run_of(stopped, home)
    stopped.send_signal(number)
    saved = answer(stopped, code)
    assert "state saved" in saved["stderr"]
    assert completed(home, "train", recipe, "--resume", run)["weights"] == unbroken.answer("mean")["weights"]


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.spark
def test_of_two_commands_one_resumes_and_one_starts_a_run_of_its_own(home, unbroken):
    recipe = str(home / "mean.yaml")
    killed = started(home, "train", recipe, "--fresh")
    run = run_of(killed, home)
    killed.kill()
    killed.communicate()
    both = [answer(process) for process in [started(home, "train", recipe) for _ in range(2)]]
    assert len({one["run_id"] for one in both}) == 2
    assert run in {one["run_id"] for one in both}
    assert {one["weights"] for one in both} == {unbroken.answer("mean")["weights"]}


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.spark
def test_a_run_is_resumed_over_a_damaged_checkpoint(home, unbroken):
    recipe = str(home / "mean.yaml")
    killed = started(home, "train", recipe, "--fresh")
    run = run_of(killed, home)
    wait_for(killed, home, f"checkpoints/{run}/step-*9.ckpt")
    killed.kill()
    killed.communicate()
    newest = max((home / "checkpoints" / run).glob("step-*.ckpt"))
    newest.write_bytes(newest.read_bytes()[:-1] + b"!")
    resumed = completed(home, "train", recipe)
    assert resumed["run_id"] == run
    assert f"{newest}: not a whole checkpoint" in resumed["stderr"]
    assert resumed["weights"] == unbroken.answer("mean")["weights"]


@pytest.mark.bad_input
@pytest.mark.spark
def test_a_changed_recipe_is_not_resumed(here, home, unbroken):
    recipe = str(home / "mean.yaml")
    run = unbroken.answer("mean")["run_id"]
    refused = here(
        home, "train", recipe, "--resume", run, "--set", "network.dropout=0.2", "--set", "fit.batch_size=16", code=2
    )
    assert sorted(fault["message"].partition(":")[0] for fault in refused["faults"]) == ["fit.batch_size", "network"]


def run_of(process, home):
    """The id of the run that `process` started, once it has left a checkpoint."""
    run = ""
    while not run.startswith("run "):
        run = process.stderr.readline()
        assert process.poll() is None, process.communicate()[1][-3000:]
    wait_for(process, home, f"checkpoints/{run.split()[1]}/step-*.ckpt")
    return run.split()[1]

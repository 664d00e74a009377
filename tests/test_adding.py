"""What is added is one file: one of each kind is put into a copy of the package, and runs the whole way."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "millstream"
ADDED = {
    "pipelines/sources/ramp.py": '''
"""Numbers in a row, and twice each of them."""
from typing import ClassVar
import pandas as pd
from pydantic import BaseModel
from millstream.pipelines.spark.frames import from_pandas
from millstream.tracking.dataset.records import Column

NUMBER = {"dtype": "float64", "meaning": "number"}


class Ramp(BaseModel, frozen=True, extra="forbid"):
    licence: ClassVar[str] = "none"
    origin: ClassVar[str] = "made"

    def origin_files(self):
        return ()

    def declared(self, classes=()):
        return (Column(name="x", role="input", **NUMBER), Column(name="y", role="target", **NUMBER))

    def read(self, spark, files, seed):
        rows = pd.DataFrame({"sample_id": [f"{at:03d}" for at in range(200)], "x": [at / 100 for at in range(200)]})
        return from_pandas(spark, rows.assign(y=2 * rows["x"]), self.declared())
''',
    "pipelines/steps/thin.py": '''
"""Keeps each second row."""
from typing import ClassVar
from pydantic import BaseModel
from pyspark.sql import functions as F


class Thin(BaseModel, frozen=True, extra="forbid"):
    version: ClassVar[int] = 1
    place: ClassVar[str] = "any"
    served: ClassVar[str] = "same"
    train_only: ClassVar[bool] = False
    chooses: ClassVar[bool] = True

    def fit(self, train, seed):
        return {}

    def apply(self, table, learned, seed):
        return table.keeping(F.expr("cast(sample_id AS int) % 2 = 0"))
''',
    "training/networks/mlp/line.py": '''
"""A line."""
from pydantic import BaseModel
from torch import nn


class Config(BaseModel, frozen=True, extra="forbid"):
    pass


def build(config, signature):
    return nn.Linear(1, signature.outputs)
''',
    "tracking/figures/errors_seen.py": '''
"""Errors of rows, in their order."""
from matplotlib.figure import Figure


def errors_seen(errors):
    figure = Figure()
    figure.subplots().plot(errors)
    return figure
''',
    "training/tasks/absolute.py": '''
"""Predicts a number by the least absolute error."""
from typing import ClassVar
from pydantic import BaseModel
from torchmetrics import MeanAbsoluteError
from millstream.tracking.figures.errors_seen import errors_seen
from millstream.training.task import Task
from millstream.training.tensors import as_numpy


class Config(BaseModel, frozen=True, extra="forbid"):
    target: str


class Absolute(Task):
    outputs: ClassVar = {"prediction": "double"}
    directions: ClassVar = {"gap": "min"}

    def rows(self, batch):
        guess_B = self.network(*batch.arguments)[:, 0]
        return (guess_B - batch.truth).abs(), guess_B

    def metrics(self):
        return {"gap": MeanAbsoluteError()}

    def measure(self, metrics, output, batch):
        metrics.update(output[batch.mask_B], batch.truth[batch.mask_B])

    def predict(self, *inputs):
        return {"prediction": as_numpy(self.network(*inputs)[:, 0].double())}

    def figures(self):
        return {"errors": errors_seen([1.0, 2.0])}
''',
    "experiments/search/strategies/middle.py": '''
"""The middle of the space, each time."""


def propose(space, trials, seed):
    return tuple(0.5 for _ in space.fields)
''',
    "training/environments/coin.py": '''
"""A coin is shown: to name its side is worth 1. An episode has 5 of them."""
import gymnasium
import numpy as np
from pydantic import BaseModel
from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.signature import Signature


class Config(BaseModel, frozen=True, extra="forbid"):
    pass


class Coin(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 5
        return self._toss(), {}

    def step(self, action):
        reward, self.left = float(action == self.side), self.left - 1
        return self._toss(), reward, self.left == 0, False, {}

    def _toss(self):
        self.side = int(self.np_random.integers(2))
        return np.array([self.side], np.float32)


def make(config):
    return Coin()


def make_vector(config, count):
    return gymnasium.vector.SyncVectorEnv([Coin] * count, autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP)


def signature(config):
    side = Column(name="side", dtype="float32", role="input", meaning="number")
    action = Column(name="action", dtype="int64", role="target", meaning="category", classes=("tail", "head"))
    return Signature.of([side, action], ["action"])


def threshold(config):
    return None


def identity(config):
    return {"environment": "coin 1"}


def draw(config, observation):
    return None


def state(env):
    return None


def restore(env, state):
    raise NotImplementedError
''',
    "training/tasks/reinforce/bandit.py": '''
"""Learns the reward of each action, which is all that there is to it where an action changes nothing."""
from typing import ClassVar
import numpy as np
import torch
from millstream.training.optimization.optimizer_step import Update
from millstream.training.rl.agent import Agent, AgentConfig
from millstream.training.tensors import as_numpy


class Config(AgentConfig):
    pass


class Bandit(Agent):
    actions: ClassVar = ("discrete",)
    outputs: ClassVar = {"action": "string"}

    def best(self, observation_N):
        return as_numpy(self.network(self.read(torch.from_numpy(observation_N))).argmax(dim=1))

    def act(self, observation_N, step):
        return np.random.default_rng(step).integers(2, size=len(observation_N))

    def updates(self, rollout):
        taken = rollout.flat()
        reward_BA = self.network(self.read(taken.observation))
        missed_B = reward_BA.gather(1, taken.action[:, None])[:, 0] - taken.reward
        yield Update("network", lambda: iter([missed_B.square().mean()]), "train/loss")

    def predict(self, *inputs):
        return {"action": [self.signature.classes[at] for at in self.network(*inputs).argmax(dim=1).tolist()]}
''',
}
LINE = {
    "about": "a line",
    "data": {
        "name": "ramp",
        "source": {"name": "ramp"},
        "steps": [{"thin": {}}, {"split": {"by": "hash", "valid": 0.2, "test": 0.2}}],
    },
    "task": {"name": "absolute", "target": "y"},
    "network": {"name": "mlp/line"},
    "fit": {"epochs": 40, "batch_size": 8, "optimizer": {"name": "adam", "lr": 0.05}},
    "pass": {"test/gap": "<= 0.3"},
}
SHORT = LINE | {"about": "a line, after one epoch", "fit": LINE["fit"] | {"epochs": 1}, "pass": {}}
COIN = {
    "about": "a coin",
    "environment": {"name": "coin"},
    "task": {"name": "reinforce/bandit", "steps": 2000, "act": 20, "environments": 4, "episodes": 10},
    "network": {"name": "mlp/mlp", "hidden": [8]},
    "fit": {"epochs": 2, "batch_size": 20, "optimizer": {"name": "adam", "lr": 0.02}},
    "pass": {"test/return": ">= 5"},
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The package with one more file of each kind, and nothing else changed."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, folder / "millstream", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in ADDED.items():
        file = folder / "millstream" / name
        assert not file.exists()
        file.write_text(text.lstrip())
    for name, recipe in (("line", LINE), ("short", SHORT), ("coin", COIN)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
    return folder


def run(copy, *words):
    """The answer of a command of the copy; a model is made there, and no test looks at the checkout."""
    command = [sys.executable, "-m", "millstream", *words, "--json"]
    environment = {
        "PYTHONPATH": str(copy),
        "MILLSTREAM_HOME": str(copy / "home"),
        "PATH": "/usr/bin:/bin",
        "HOME": str(copy),
    }
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.spark
def test_a_source_step_network_task_figure_and_strategy_are_one_file_each(copy):
    made = run(copy, "run", "line.yaml", "--require-pass")
    assert made["rows"]["train"] + made["rows"]["valid"] + made["rows"]["test"] == 100
    assert list((copy / "home").rglob("figures/errors.png"))
    found = run(copy, "search", "line.yaml", "--strategy", "middle", "--trials", "1", "--over", "fit.epochs=[1, 2]")
    assert len(found["trials"]) == 1


@pytest.mark.slow
@pytest.mark.spark
def test_a_metric_that_only_its_task_declares_as_better_when_smaller_ranks_runs(copy):
    line, short = (run(copy, "run", f"{name}.yaml")["metrics"]["test/gap"] for name in ("line", "short"))
    assert line < short
    board = run(copy, "compare", "--metric", "gap")
    assert [(one["recipe"], one["value"]) for one in board] == [("line", line), ("short", short)]
    found = run(copy, "search", "line.yaml", "--trials", "2", "--strategy", "random", "--over", "fit.epochs=[1, 40]")
    assert found["metric"] == "valid/gap"
    assert found["best"]["value"] == min(one["metrics"]["valid/gap"] for one in found["trials"])


@pytest.mark.slow
def test_an_environment_and_an_algorithm_are_one_file_each(copy):
    assert run(copy, "run", "coin.yaml", "--require-pass")["metrics"]["test/return"] == 5

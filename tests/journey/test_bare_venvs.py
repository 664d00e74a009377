"""A registered model of each family in a venv with nothing but what it requires, installed from the index.

With `-s` it prints what docs/records/benchmarks has of it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from millstream.tracking.dataset.version import Dataset
from millstream.tracking.runs import model_logging
from millstream.tracking.serving import replay
from millstream.tracking.settings import Settings
from millstream.training.assembly import model_folder
from tests.journey.command import completed
from tests.journey.isolated import predicted, users_folder

FAMILIES = {
    "classical/xgboost-adult": "probability",
    "cnn/lenet-digits": "probability",
    "rnn/gru-names": "probability",
    "generative/vae-mnist": "reconstruction_error",
    "rl/dqn-cartpole": "value",
}
"""Recipes, and a numeric output of each."""
TREES = "classical/xgboost-adult"
MIB = 1 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bare")


def venv(folder, requirements):
    """A venv with these requirements; one for all models that have the same."""
    made = folder / hashlib.sha256(requirements.read_bytes()).hexdigest()[:8]
    if not made.exists():
        subprocess.run([sys.executable, "-m", "venv", made], check=True)
        install = [made / "bin" / "python", "-m", "pip", "install", "--quiet", "--requirement", requirements]
        subprocess.run(install, check=True)
    return made


def mib(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / MIB


def raw_rows(model, settings):
    """Raw rows: of the test split, every third without what may be missing; of an environment, observations."""
    if model.manifest is None:
        count = len(model.raw_columns)
        draw = np.random.default_rng(0).normal(scale=0.1, size=(20, count, *model.raw_columns[0].shape))
        return pd.DataFrame({one.name: list(draw[:, at]) for at, one in enumerate(model.raw_columns)})
    dataset = Dataset.open(f"{model.manifest.name}/{model.manifest.version}", settings.store, settings.cache)
    prepared = pd.concat(pq.read_table(dataset.verified(shard)).to_pandas() for shard in dataset.shards("test"))
    raw = replay.restore(prepared.reset_index(drop=True), model.manifest)
    for name in model.optional:
        raw[name] = raw[name].where(np.arange(len(raw)) % 3 > 0, None)
    return raw


@pytest.mark.slow
@pytest.mark.mirror
@pytest.mark.timeout(3600)  # installing torch takes minutes
@pytest.mark.parametrize("recipe", FAMILIES)
def test_a_model_predicts_in_a_venv_with_its_requirements_alone(folder, recipe):
    home = folder / "home"
    run = completed(home, "run", recipe, "--budget", "smoke")
    settings = Settings.read({"MILLSTREAM_HOME": str(home)})
    logged = model_logging.describe(run["model_uri"], settings).folder
    made = venv(folder, logged / "requirements.txt")
    installed = {path.name for path in made.glob("lib/*/site-packages/*")}
    assert not installed & {"millstream", "pyspark", "pytorch_lightning", "torchmetrics", "petastorm"}
    assert ("torch" in installed) == (recipe != TREES)

    model = model_folder.load(model_logging.model_folder(run["model_uri"], settings))
    raw = raw_rows(model, settings)
    theirs = users_folder(folder / recipe.replace("/", "-"))
    answer = predicted(run["model_uri"], raw, theirs, settings.tracking_uri, python=str(made / "bin" / "python"))
    expected = model.predict(raw)
    np.testing.assert_allclose(answer.predictions[FAMILIES[recipe]], expected[FAMILIES[recipe]], rtol=1e-4, atol=1e-5)
    code = mib(logged / "code")
    sizes = {"venv MiB": round(mib(made)), "model MiB": round(mib(logged), 3), "of it code KiB": round(1024 * code)}
    print(json.dumps({"recipe": recipe, **sizes, "s": round(answer.seconds, 2), "CPU s": round(answer.cpu_seconds, 2)}))

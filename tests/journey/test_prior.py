"""A model of balanced rows predicts the probabilities of the world, also where it is served."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from millstream.pipelines import prepare
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.recipe.loader import load
from millstream.training.assembly import model_folder
from millstream.training.assembly.build import parts_of
from millstream.training.assembly.data_source import DatasetSource

ROWS, RARE = 20_000, 0.04


def pulses(folder, names):
    """The rare class (the second name) is normal around 1, the other around -1, both with deviation 1."""
    draw = np.random.default_rng(5)
    rare = draw.random(ROWS) < RARE
    pulse = draw.normal(np.where(rare, 1.0, -1.0), 1.0)
    rows = pd.DataFrame({"pulse": pulse, "ill": np.where(rare, *reversed(names))})
    rows.to_csv(folder / "pulses.csv", index=False)


def recipe_of(folder, method):
    columns = {"pulse": {"type": "double"}, "ill": {"type": "string", "role": "target"}}
    content = {
        "about": "a test",
        "data": {
            "name": "pulses",
            "source": {"name": "table", "files": [{"name": str(folder / "pulses.csv")}], "columns": columns},
            "steps": [
                {"split": {"by": "hash", "test": 0.1}},
                {"rebalance": {"method": method}},
                {"encode": {"columns": ["ill"]}},
            ],
        },
        "task": {"name": "classify", "target": "ill", "prior": "corrected"},
        "network": {"name": "classical/logistic"},
    }
    (folder / f"{method}.yaml").write_text(json.dumps(content))
    return load(str(folder / f"{method}.yaml"))


@pytest.mark.spark
@pytest.mark.parametrize(
    ("method", "names"),
    [
        pytest.param("undersample", ("no", "yes"), marks=pytest.mark.slow),
        ("weights", ("no", "yes")),
        ("undersample", ("0.0", "1.0")),
    ],
)
def test_probabilities_of_a_served_model_are_those_of_bayes(spark, settings, tmp_path, method, names):
    pulses(tmp_path, names)
    located = recipe_of(tmp_path, method)
    prepared = prepare.prepare(located, settings, say=lambda message: None)
    dataset = Dataset.open(prepared.path, settings.store)
    parts = parts_of(located)
    signature = parts.signature(dataset.manifest)
    assert signature.shares.trained == pytest.approx((0.5, 0.5))
    task = parts.build(signature)
    whole = DatasetSource(dataset, signature, parts.fit).loader("train").whole()
    task.network.estimator.fit(whole.arguments, whole.truth, whole.weight_B)
    model_folder.save(tmp_path / "model", located, task, dataset.manifest)
    pulse = np.linspace(-3, 3, 25)
    found = np.stack(model_folder.load(tmp_path / "model").predict(pd.DataFrame({"pulse": pulse}))["probabilities"])
    # Bayes: log odds are 2 x and those of the classes; about 700 rare rows carry the fit
    bayes = 1 / (1 + (1 - RARE) / RARE * np.exp(-2 * pulse))
    np.testing.assert_allclose(found[:, 1], bayes, atol=0.06)
    assert abs(found[12, 1] - bayes[12]) < 0.01

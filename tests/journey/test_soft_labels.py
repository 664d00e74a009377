"""Rows mixed on the cluster are learned from as what they are: some of one class, some of another."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from millstream.pipelines import prepare
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.recipe.loader import load
from millstream.training.assembly import model_folder
from millstream.training.assembly.build import parts_of
from millstream.training.assembly.data_source import DatasetSource
from tests.training.tasks.made import measured

STEPS = [
    {"split": {"by": "hash", "test": 0.3}},
    {"encode": {"columns": ["ill"], "method": "onehot"}},
    {"scale": {"column": "pulse", "method": "standard"}},
    {"mixup": {"copies": 2, "alpha": 1.0}},
]


def recipe_of(folder):
    draw = np.random.default_rng(0)
    ill = draw.choice(["no", "yes"], 300)
    rows = pd.DataFrame({"pulse": draw.normal(np.where(ill == "yes", 2, -2)), "ill": ill})
    rows.to_csv(folder / "pulses.csv", index=False)
    columns = {"pulse": {"type": "double"}, "ill": {"type": "string", "role": "target"}}
    source = {"name": "table", "files": [{"name": str(folder / "pulses.csv")}], "columns": columns}
    content = {
        "about": "a test",
        "data": {"name": "pulses", "source": source, "steps": STEPS},
        "task": {"name": "classify", "target": "ill"},
        "network": {"name": "mlp/mlp", "hidden": [8]},
        "fit": {"batch_size": 64, "seed": 1},
    }
    (folder / "pulses.yaml").write_text(json.dumps(content))
    return load(str(folder / "pulses.yaml"))


@pytest.mark.spark
def test_a_mixed_row_is_learned_from_as_the_share_of_each_class(spark, settings, tmp_path):
    located = recipe_of(tmp_path)
    prepared = prepare.prepare(located, settings, say=lambda message: None)
    dataset = Dataset.open(prepared.path, settings.store)
    parts = parts_of(located)
    task = parts.build(parts.signature(dataset.manifest))
    splits = DatasetSource(dataset, task.signature, parts.fit)
    train = splits.loader("train").whole()
    assert len(train.truth) == prepared.rows["train"]
    is_mixed = (train.truth > 0).all(dim=1)
    # a third are the rows themselves, half of the others have a partner of their own class
    assert 0.25 < is_mixed.float().mean() < 0.42
    torch.testing.assert_close(train.truth.sum(dim=1), torch.ones(len(train.truth)))
    loss, scores = task.rows(train)
    torch.testing.assert_close(loss, -(train.truth * torch.log_softmax(scores, dim=1)).sum(dim=1))
    test = splits.loader("test").whole()
    assert ((test.truth == 0) | (test.truth == 1)).all()
    found = measured(task, test)
    predicted = task.eval().network(*test.arguments).argmax(dim=1)
    assert found["test/accuracy"] == pytest.approx((predicted == test.truth.argmax(dim=1)).float().mean())
    model_folder.save(tmp_path / "model", located, task, dataset.manifest)
    served = model_folder.load(tmp_path / "model").predict(pd.DataFrame({"pulse": [-2.0, 2.0]}))
    assert set(served["prediction"]) <= {"no", "yes"}

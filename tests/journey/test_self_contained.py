"""A registered model predicts where there is no Millstream, with nothing but what it requires."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest

from millstream.tracking.runs import model_logging
from millstream.training.assembly import model_folder
from tests.journey.isolated import predicted, users_folder
from tests.journey.test_scoring import trained

LEAVERS = """
about: Who leaves, by trees, from columns with gaps
data:
  name: leavers
  source:
    name: table
    files: [{{name: leavers.csv}}]
    columns:
      spent: {{type: double, nullable: true}}
      visits: {{type: long, nullable: true}}
      town: {{type: string, nullable: true}}
      left: {{type: string, role: target}}
  steps:
    - split: {{by: hash, valid: 0.1, test: 0.2}}
    - impute: {{columns: [spent, visits], method: median}}
    - encode: {{columns: categories}}
    - scale: {{columns: [spent], method: standard}}
task: {{name: classify, target: left}}
network: {{name: {}}}
fit: {{seed: 1}}
"""


def leavers(folder):
    draw = random.Random(0)
    rows = [
        (draw.choice([None, draw.gauss(0, 1)]), draw.choice([None, 1, 7]), draw.choice([None, "Graz", "Wien"]))
        for _ in range(300)
    ]
    table = pd.DataFrame(rows, columns=["spent", "visits", "town"]).astype({"visits": "Int64"})
    table.assign(left=["yes" if (one or 0) < 0 else "no" for one in table["spent"].fillna(0)]).to_csv(
        folder / "leavers.csv", index=False
    )
    return table


@pytest.mark.spark
def test_trees_predict_raw_rows_with_gaps_without_torch_or_millstream(spark, settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = leavers(tmp_path)
    (tmp_path / "leavers.yaml").write_text(LEAVERS.format("classical/xgboost, rounds: 5"))
    settings = settings.model_copy(update={"check_models": True})
    found, _ = trained(settings, tmp_path / "leavers.yaml")
    folder = model_logging.describe(found.model_uri, settings).folder
    required = {line.partition("==")[0] for line in (folder / "requirements.txt").read_text().splitlines()}
    assert "xgboost-cpu" in required
    assert not required & {"torch", "pytorch-lightning", "torchmetrics", "pyspark", "skops", "millstream"}
    given = users_folder(tmp_path / "theirs")
    answer = predicted(found.model_uri, table, given, settings.tracking_uri, absent=("torch",)).predictions
    expected = model_folder.load(model_logging.model_folder(found.model_uri, settings)).predict(table)
    assert set(expected["prediction"]) == {"yes", "no"}
    pd.testing.assert_frame_equal(answer.drop(columns="probabilities"), expected.drop(columns="probabilities"))
    assert np.array_equal(np.stack(answer["probabilities"]), np.stack(expected["probabilities"]))

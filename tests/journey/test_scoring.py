"""Models of several kinds score raw tables on Spark as they do in one process."""

from __future__ import annotations

import random
import time

import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest

from millstream.pipelines import prepare
from millstream.pipelines.publish.staging_name import STAGING
from millstream.pipelines.score import score
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData
from millstream.tracking.recipe.loader import load
from millstream.tracking.runs import model_logging
from millstream.tracking.runs.run import Run
from millstream.training.assembly import model_folder
from millstream.training.loop.evaluate import evaluate
from millstream.training.loop.train import train
from tests.journey.command import started, wait_for
from tests.journey.test_resume import RECIPES
from tests.pipelines.sources import moons

PRICES = """
about: A number from numbers and a category
data:
  name: prices
  source:
    name: table
    files: [{name: prices.csv}]
    columns: {area: {type: double, unit: m2}, town: {type: string}, price: {type: double, role: target, unit: EUR}}
  steps:
    - split: {by: hash, valid: 0.1, test: 0.2}
    - encode: {columns: categories}
    - scale: {columns: [area, price], method: standard}
task: {name: regress, target: price}
network: {name: mlp/mlp, hidden: [16]}
fit: {epochs: 30, batch_size: 16, seed: 1, threads: 1, optimizer: {name: adam, lr: 1.0e-2}}
"""


def trained(settings, file):
    located = load(str(file))
    prepared = prepare.prepare(located, settings, say=lambda message: None)
    dataset = Dataset.open(prepared.path, settings.store)
    with Run.start(settings, located) as run:
        return train(located, run, dataset), dataset


def alone(settings, uri, raw):
    """The predictions of the model in this process."""
    return model_folder.load(model_logging.model_folder(uri, settings)).predict(raw)


def prices(folder):
    """300 flats, as a table and as a file beside the recipe that learns their prices."""
    draw = random.Random(0)
    rows = [(draw.uniform(20, 200), draw.choice(["Graz", "Wien"])) for _ in range(300)]
    paid = [1000 * area + 90_000 * (town == "Wien") + draw.gauss(0, 2000) for area, town in rows]
    table = pd.DataFrame(rows, columns=["area", "town"]).assign(price=paid)
    table.to_csv(folder / "prices.csv", index=False)
    (folder / "prices.yaml").write_text(PRICES)
    return table


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.spark
def test_scoring_that_is_killed_shows_nothing_and_leaves_nothing_for_good(spark, settings, tmp_path, monkeypatch, soak):
    monkeypatch.chdir(tmp_path)
    prices(tmp_path)
    found, _ = trained(settings, tmp_path / "prices.yaml")
    many = pd.concat([pd.read_csv("prices.csv")] * 2_000)
    many.to_parquet("many.parquet")
    draw = random.Random(7)
    for attempt in range(10 if soak else 1):
        output = tmp_path / "out" / str(attempt)
        output.parent.mkdir(exist_ok=True)
        killed = started(settings.home, "score", found.model_uri, "many.parquet", str(output), cwd=tmp_path)
        wait_for(killed, output.parent, f"{STAGING}*")
        time.sleep(draw.uniform(0, 0.5))
        family = psutil.Process(killed.pid).children(recursive=True)
        killed.kill()
        killed.communicate()
        psutil.wait_procs(family, timeout=60)
        assert not output.exists()
        assert score(found.model_uri, "many.parquet", str(output), settings).rows == len(many)
        assert sorted(path.name for path in output.parent.iterdir()) == sorted(map(str, range(attempt + 1)))


@pytest.mark.spark
def test_a_regressor_scores_in_raw_units(spark, settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = prices(tmp_path)
    found, _ = trained(settings, tmp_path / "prices.yaml")
    score(found.model_uri, "prices.csv", "scored", settings)
    scored = pd.read_parquet("scored").sort_values("area", ignore_index=True)
    table = table.sort_values("area", ignore_index=True)
    assert np.sqrt(np.mean((scored["prediction"] - table["price"]) ** 2)) < 15_000 < table["price"].std() / 3
    expected = alone(settings, found.model_uri, table)["prediction"]
    np.testing.assert_allclose(scored["prediction"], expected, rtol=1e-5)
    assert evaluate(found.model_uri, settings).metrics == {
        name: value for name, value in found.metrics.items() if name.startswith("test/")
    }


MOONS = """
about: nobody labels the rows
data:
  source: {{name: generated, kind: moons, rows: 500, noise: 0.1}}
  steps:
    - split: {{by: hash, valid: 0.1, test: 0.2}}
task: {{name: {}}}
network: {{name: classical/{}}}
fit: {{seed: 1}}
"""
WITHOUT_TARGET = {
    "cluster, against: label": ("kmeans, clusters: 2", ["cluster", "distance"], "clusters"),
    "density": ("gaussian_mixture, parts: 4", ["log_density"], "density"),
    "reduce": ("pca, parts: 1", ["code", "reconstruction_error"], "variance_kept"),
}


@pytest.mark.slow
@pytest.mark.spark
def test_models_without_a_target_score_new_rows(spark, settings, tmp_path):
    new, _ = moons.rows(200, seed=9)
    table = pd.DataFrame(new, columns=["x", "y"]).assign(row=range(200))
    table.to_csv(tmp_path / "new.csv", index=False)
    for task, (network, columns, figure) in WITHOUT_TARGET.items():
        name = task.partition(",")[0]
        (tmp_path / f"{name}.yaml").write_text(MOONS.format(task, network))
        found, _ = trained(settings, tmp_path / f"{name}.yaml")
        assert evaluate(found.model_uri, settings).metrics == {
            metric: value for metric, value in found.metrics.items() if metric.startswith("test/")
        }
        score(found.model_uri, str(tmp_path / "new.csv"), str(tmp_path / name), settings)
        scored = pd.read_parquet(tmp_path / name).sort_values("row", ignore_index=True)
        expected = alone(settings, found.model_uri, table)
        for column in columns:
            np.testing.assert_allclose(np.stack(scored[column]), np.stack(expected[column]), rtol=1e-5, atol=1e-6)
        assert list((settings.home / "artifacts").rglob(f"figures/{figure}.png"))


@pytest.mark.spark
def test_a_vae_scores_images(spark, settings, tmp_path):
    (tmp_path / "vae.yaml").write_text(RECIPES["vae"])
    found, dataset = trained(settings, tmp_path / "vae.yaml")
    raw = pq.read_table(dataset.verified(dataset.shards("test")[0])).to_pandas()[["sample_id", "image"]]
    raw.to_parquet(tmp_path / "raw.parquet")
    score(found.model_uri, str(tmp_path / "raw.parquet"), str(tmp_path / "scored"), settings, master="local[2]")
    scored = pd.read_parquet(tmp_path / "scored").set_index("sample_id").loc[raw["sample_id"]]
    expected = alone(settings, found.model_uri, raw)
    np.testing.assert_allclose(np.stack(scored["latent"]), np.stack(expected["latent"]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scored["reconstruction_error"], expected["reconstruction_error"], rtol=1e-4)
    assert len(scored) == 120

    # nothing is overwritten, and what cannot be read leaves nothing behind
    with pytest.raises(BadData, match="is there already"):
        score(found.model_uri, str(tmp_path / "raw.parquet"), str(tmp_path / "scored"), settings)
    pd.DataFrame({"sample_id": ["a"], "image": [b"too short"]}).to_parquet(tmp_path / "bad.parquet")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(BadData, match=r"bad\.parquet: column 'image': 9 numbers"):
        score(found.model_uri, str(tmp_path / "bad.parquet"), str(tmp_path / "out"), settings)
    raw[["sample_id"]].to_parquet(tmp_path / "less.parquet")
    with pytest.raises(BadData, match=r"no columns \['image'\]"):
        score(found.model_uri, str(tmp_path / "less.parquet"), str(tmp_path / "out"), settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "less.parquet"])

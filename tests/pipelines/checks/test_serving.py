"""How a served model does each step: declared by the step, looked at by `prepare`, kept in the manifest."""

from typing import ClassVar

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel
from pyspark.sql import functions as F

from millstream.pipelines import prepare
from millstream.pipelines.checks import serving
from millstream.pipelines.execute_steps import Flow
from millstream.pipelines.score import score
from millstream.pipelines.steps.features import Features
from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.records import Serving, Step
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData
from millstream.tracking.recipe import plugins
from millstream.tracking.recipe.loader import load
from millstream.tracking.runs import model_logging
from millstream.tracking.runs.mlflow_store import open_store
from millstream.tracking.runs.run import Run
from millstream.tracking.serving import replay
from millstream.training.assembly import model_folder
from millstream.training.loop.train import train
from tests.pipelines.made import CITY, NUMBER, table
from tests.training.signatures import manifest

FARES = """
about: A fare from what is known of the trip
data:
  name: fares
  source:
    name: table
    files: [{name: fares.csv}]
    columns:
      taxi: {type: string, role: key}
      at: {type: timestamp, role: key}
      km: {type: double}
      minutes: {type: long}
      zone: {type: string}
      fare: {type: double, role: target}
  steps:
    - features:
        add:
          pace: {expression: "CASE WHEN km > 0 THEN minutes / km ELSE 0 END"}
          hour: {expression: hour(at), type: long}
          far: {expression: "IF(km > 5 AND zone = 'Caf\u00e9', 'far', 'near')", type: string}
          waves: {expression: sin(km)}
    - rolling: {entity: taxi, time: at, value: minutes, days: [1], count: "trips{days}", mean: "usual{days}"}
    - split: {by: hash, test: 0.2}
    - encode: {columns: categories}
    - scale: {columns: numbers, method: standard}
task: {name: regress, target: fare}
network: {name: mlp/mlp, hidden: [8]}
fit: {epochs: 2, batch_size: 16, seed: 1, threads: 1}
"""


class Doubles(BaseModel, frozen=True):
    version: ClassVar[int] = 1
    place: ClassVar[str] = "any"
    served: ClassVar[str] = "same"
    train_only: ClassVar[bool] = False

    half: bool = False
    """Whether rows are doubled that a union hides among others."""

    def fit(self, train, seed):
        return {}

    def apply(self, table, learned, seed):
        doubled = table.frame.withColumn("wind", F.col("wind") * 2)
        if self.half:
            doubled = table.frame.where("wind < 3").unionByName(doubled.where("wind >= 6"))
        return table.replacing(doubled)


class Adds(Doubles):
    def apply(self, table, learned, seed):
        return table.replacing(table.frame.withColumn("more", F.lit(1.0)), NUMBER.model_copy(update={"name": "more"}))


def fares(folder):
    rng = np.random.default_rng(3)
    rows = pd.DataFrame(
        {
            "taxi": rng.choice(["a", "b"], 60),
            "at": pd.date_range("2024-05-01", periods=60, freq="3h").strftime("%Y-%m-%d %H:%M:%S"),
            "km": rng.integers(0, 10, 60).astype(float),
            "minutes": rng.integers(1, 50, 60),
            "zone": rng.choice(["Caf\u00e9", "Hafen"], 60),
            "fare": rng.uniform(5, 50, 60),
        }
    )
    rows.to_csv(folder / "fares.csv", index=False)
    (folder / "fares.yaml").write_text(FARES, encoding="utf-8")
    return rows


@pytest.mark.spark
def test_a_served_model_computes_features_of_a_row_and_requires_what_other_rows_decide(
    spark, settings, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    raw, messages, located = fares(tmp_path), [], load(str(tmp_path / "fares.yaml"))
    prepared = prepare.prepare(located, settings, say=messages.append)
    dataset = Dataset.open(prepared.path, settings.store)
    known = dataset.manifest
    required = ["km", "minutes", "zone", "at", "waves", "trips1", "usual1"]
    assert sorted(column.name for column in replay.raw_columns(known)) == sorted(required)
    assert replay.brought(known) == {"waves": "features", "trips1": "rolling", "usual1": "rolling"}
    assert "features: the caller of a model has to bring waves" in messages

    stored = pq.read_table(dataset.verified(dataset.shards("train")[0])).to_pandas()
    at = stored["sample_id"].str.rpartition(":")[2].astype(int) - 2
    served = raw.iloc[at].reset_index(drop=True).assign(at=lambda rows: pd.to_datetime(rows["at"]))
    served["zone"] = served["zone"].str.replace("\u00e9", "e\u0301") + "\u00a0"
    for name in ("waves", "trips1", "usual1"):  # what the caller brings, in its own unit
        step = next(step.learned[name] for step in known.steps if step.name == "scale")
        served[name] = stored[name].astype(float) / step["factor"] + step["offset"]
    found = replay.replay(served, known)
    for column in known.columns:
        if column.role == "input":
            np.testing.assert_allclose(found[column.name], stored[column.name], rtol=1e-6, atol=1e-6)

    for unit in ("s", "us", "ns"):
        again = replay.replay(served.assign(at=served["at"].astype(f"datetime64[{unit}]")), known)
        assert again["hour"].equals(found["hour"])

    with Run.start(settings, located) as run:
        trained = train(located, run, dataset)
        run_id = run.id
    tags = open_store(settings).get_run(run_id).data.tags
    assert tags["brought"] == "waves (features), trips1 (rolling), usual1 (rolling)"
    assert model_logging.describe(trained.model_uri, settings).inputs.keys() == set(required)
    model = model_folder.load(model_logging.model_folder(trained.model_uri, settings))
    served[required].to_parquet("new.parquet", coerce_timestamps="us")
    score(trained.model_uri, "new.parquet", "scored", settings)
    scored = pq.read_table("scored").to_pandas().sort_values("at")
    alone = model.predict(served[required].sort_values("at"))
    np.testing.assert_allclose(scored["prediction"], alone["prediction"], rtol=1e-6)
    with pytest.raises(BadData, match="feature 'hour': is null in row 0"):
        model.predict(served[required].assign(at=pd.NaT))


def test_what_a_step_of_today_declares_is_what_is_looked_up_for_older_manifests():
    for name in plugins.names("millstream.pipelines.steps"):
        step = plugins.class_of(plugins.find("millstream.pipelines.steps", name))
        assert list(serving.undeclared(name, step)) == []
        older = "brought" if name == "features" else step.served
        assert replay.DECLARED_SINCE[name] == older


@pytest.mark.bad_input
@pytest.mark.spark
@pytest.mark.parametrize("step", [Doubles(), Doubles(half=True), Adds()])
def test_a_step_that_changes_inputs_but_declares_that_it_does_not_is_refused(spark, step):
    rows = table(spark, [{"wind": float(at), "city": "Graz"} for at in range(8)], NUMBER, CITY)
    with pytest.raises(BadData, match=r"step doubles: changes the inputs \['(wind|more)'\] and declares served: same"):
        Flow.of(rows).through("doubles", step, 0, lambda message: None)


@pytest.mark.spark
def test_the_record_of_features_and_windows_in_the_manifest(spark):
    rows = table(spark, [{"wind": 2.0, "city": "Graz"}], NUMBER, CITY)
    step = Features(
        add={
            "twice": {"expression": "wind * 2"},
            "before": {"expression": "lag(wind) OVER (PARTITION BY city ORDER BY wind)", "role": "key"},
        }
    )
    after = step.apply(rows, {}, 0)
    found = serving.serving("features", step, rows, after)
    assert found.brought == ("before",)
    assert found.computed["twice"].reads == (NUMBER,)
    assert Serving.model_validate_json(found.model_dump_json()) == found


def known(*steps):
    facts = {"version": 1, "config": {}, "learned": {}, "rows_in": 1, "rows_out": 1, "seconds": 0}
    return manifest(NUMBER).model_copy(
        update={"steps": tuple(Step(name=name, served=one, **facts) for name, one in steps)}
    )


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("step", "message"),
    [
        (("spin", None), "step spin: does not say how it is served"),
        (
            ("spin", Serving(does="replayed")),
            "step spin: has to be replayed, and there is no millstream.tracking.transforms.spin",
        ),
    ],
)
def test_a_step_that_serving_does_not_know_is_refused_by_name(step, message):
    with pytest.raises(BadData, match=message):
        replay.replay(pd.DataFrame({"wind": [1.0]}), known(step))
    with pytest.raises(BadData, match=message):
        replay.raw_columns(known(step))


def test_a_manifest_from_before_steps_declared_anything_keeps_its_form():
    older = known(("scale", None), ("rolling", None))
    assert '"served"' not in older.text()
    assert Manifest.parse(older.text(), "here") == older
    newer = known(("scale", Serving(does="replayed")))
    assert Manifest.parse(newer.text(), "here") == newer

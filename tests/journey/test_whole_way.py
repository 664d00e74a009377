"""The main job: from raw files to a registered model, and out again in three ways that agree."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score

from millstream.tracking.dataset.version import Dataset
from millstream.tracking.recipe.loader import load
from millstream.tracking.runs.mlflow_store import open_store
from millstream.tracking.runs.params import flatten
from millstream.tracking.settings import Settings
from tests.journey.command import ROOT, answer, started_afresh
from tests.journey.isolated import predicted, users_folder

SMALL = ("--set", "data.source.limit=600")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("whole way")


@pytest.fixture(scope="module")
def run(home):
    return answer(started_afresh(home, "run", "cnn/lenet-digits", *SMALL))


@pytest.fixture(scope="module")
def raw_test(home, run):
    """The raw columns of the test split, and the classes that stand in it."""
    dataset = Dataset.open(run["path"], home / "datasets")
    rows = pd.concat(pq.read_table(dataset.verified(shard)).to_pandas() for shard in dataset.shards("test"))
    classes = dataset.manifest.column("label").classes
    raw = rows[["sample_id", "image"]].reset_index(drop=True)
    raw.to_parquet(home / "raw.parquet")
    truth = pd.Series([classes[at] for at in rows["label"]], index=rows["sample_id"])
    return home / "raw.parquet", truth


@pytest.mark.spark
def test_the_run_answers_for_preparation_and_training(run):
    keys = {"dataset", "version", "path", "rows", "quarantined", "reused", "seconds"}
    keys |= {"run_id", "model_uri", "dataset_version", "metrics", "passed", "weights"}
    assert keys <= run.keys()
    assert run["rows"] == {"train": 420, "valid": 60, "test": 120}
    assert run["metrics"]["test/accuracy"] > 0.8
    assert run["dataset_version"] == run["version"]


@pytest.mark.spark
def test_one_page_shows_data_training_and_model(home, run):
    settings = Settings.read({"MILLSTREAM_HOME": str(home)})
    client = open_store(settings)
    found = client.get_run(run["run_id"])
    manifest = Dataset.open(run["path"], settings.store).manifest
    assert found.info.status == "FINISHED"
    written = flatten(load("cnn/lenet-digits", sets=["data.source.limit=600"]).resolved())
    assert written.items() <= found.data.params.items()
    assert {"fit.lanes", "fit.monitor", "network.kernel"} & found.data.params.keys()  # which are defaults
    assert found.info.run_name == "lenet-digits cpu seed 7"
    kind = client.get_experiment(found.info.experiment_id).tags["mlflow.experimentKind"]
    assert kind == "custom_model_development"
    page = found.data.tags["mlflow.note.content"]
    for line in (
        f"- test/accuracy {run['metrics']['test/accuracy']:.5g}, pass mark \\>= 0.97: ",
        "| baseline: most frequent class of train (",
        f"Data: {run['dataset']}/{run['version']}, rows train ",
        "Rows of the test split with the largest loss: tables/largest_losses.json, figures/largest_losses.png",
        f"Model: {run['model_uri']}, **not champion** when it was registered: it was trained on a part of the data",
        "    millstream run cnn/lenet-digits --budget cpu --set data.source.limit=600",
    ):
        assert line in page
    assert {name: found.data.metrics[name] for name in run["metrics"]} == pytest.approx(run["metrics"])
    assert {"feed/wait", "feed/rows_per_s", "train/loss", "valid/accuracy"} <= found.data.metrics.keys()
    assert len(found.data.metrics) < 40
    ends = {name: client.get_metric_history(run["run_id"], name) for name in run["metrics"]}
    assert [name for name, points in ends.items() if len(points) > 1 and not name.startswith("valid/")] == []
    (given,) = found.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("digits", manifest.splits["train"].digest)
    tags = {"dataset_version", "budget", "code_version", "stack", "hosts", "passed"}
    assert tags <= found.data.tags.keys()
    artifacts = {item.path for item in client.list_artifacts(run["run_id"])}
    data = {"manifest.json", "dataset.html", "leakage.txt"}
    assert {"recipe.yaml", *data, "environment.txt", "figures", "model"} <= artifacts
    figures = {item.path for item in client.list_artifacts(run["run_id"], "figures")}
    seen = ("filters", "feature_maps", "activation_maps")
    shown = ("confusion", "roc", "precision_recall", "reliability", "largest_losses")
    assert figures == {f"figures/{name}.png" for name in ("learning_curves", *shown, *seen)}


@pytest.mark.spark
def test_tables_of_the_run_are_those_that_mlflow_shows_and_name_rows_of_the_test_split(home, run, raw_test):
    client, (_, truth) = open_store(Settings.read({"MILLSTREAM_HOME": str(home)})), raw_test
    names = ("per_class", "largest_losses")
    listed = json.loads(client.get_run(run["run_id"]).data.tags["mlflow.loggedArtifacts"])
    assert [(one["path"], one["type"]) for one in listed] == [(f"tables/{name}.json", "table") for name in names]
    read = (Path(client.download_artifacts(run["run_id"], f"tables/{name}.json")).read_text() for name in names)
    by_class, hardest = (pd.read_json(io.StringIO(text), orient="split", dtype=str) for text in read)
    assert dict(zip(by_class["class"], by_class["rows"].astype(int), strict=True)) == truth.value_counts().to_dict()
    assert (truth[hardest["sample_id"]].to_numpy() == hardest["true"]).all()
    assert hardest["loss"].astype(float).is_monotonic_decreasing
    wrong = (hardest["true"] != hardest["predicted"]).sum()
    assert wrong == min(len(hardest), round(120 * (1 - run["metrics"]["test/accuracy"])))


@pytest.mark.spark
def test_a_rate_is_looked_for_in_a_run_of_its_own_and_nothing_is_trained(here, home, run):
    found = here(home, "train", "cnn/lenet-digits", *SMALL, "--find", "lr")
    client = open_store(Settings.read({"MILLSTREAM_HOME": str(home)}))
    looked = client.get_run(found["run_id"])
    assert found["field"] == "fit.optimizer.lr"
    assert 1e-4 < found["value"] < 1
    assert looked.info.status == "FINISHED"
    assert looked.data.tags["find"] == "lr"
    figures = {item.path for item in client.list_artifacts(found["run_id"], "figures")}
    assert figures == {"figures/rate_range.png"}
    assert client.get_model_version_by_alias("cnn.lenet-digits", "candidate").run_id == run["run_id"]


@pytest.mark.spark
def test_the_model_is_registered_without_pickles_and_no_champion_on_a_part_of_the_data(here, home, run):
    client = open_store(Settings.read({"MILLSTREAM_HOME": str(home)}))
    version = client.get_model_version_by_alias("cnn.lenet-digits", "candidate")
    assert version.run_id == run["run_id"]
    assert version.tags["promotion.why"] == "it was trained on a part of the data (limit: 600)"
    assert "champion" not in client.get_registered_model("cnn.lenet-digits").aliases
    moved = here(home, "promote", run["model_uri"], "--why", "there is no better one yet")
    assert {name: moved[name] for name in ("model", "version", "alias", "before")} == {
        "model": "cnn.lenet-digits",
        "version": "1",
        "alias": "champion",
        "before": None,
    }
    assert client.get_model_version_by_alias("cnn.lenet-digits", "champion").run_id == run["run_id"]
    files = [path.name for path in (home / "artifacts").rglob("*") if path.is_file()]
    assert "weights.pt" in files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".joblib"))]
    code = [path for path in (home / "artifacts").rglob("*.py") if "/model/code/millstream/" not in str(path)]
    assert code == []


@pytest.mark.spark
def test_evaluate_score_and_a_plain_pyfunc_predict_the_same(here, home, run, raw_test, tmp_path):
    raw, truth = raw_test
    measured = here(home, "evaluate", run["model_uri"])
    elsewhere = here(home, "evaluate", run["model_uri"], "--dataset", run["path"])
    assert elsewhere["metrics"] == measured["metrics"]
    assert measured["rows"] == 120
    assert {name: run["metrics"][name] for name in measured["metrics"]} == measured["metrics"]

    scored = here(home, "score", run["model_uri"], str(raw), str(tmp_path / "scored"))
    assert scored["rows"] == 120
    table = pd.read_parquet(tmp_path / "scored").set_index("sample_id")
    assert accuracy_score(truth[table.index], table["prediction"]) == pytest.approx(
        measured["metrics"]["test/accuracy"]
    )
    assert np.allclose([sum(row) for row in table["probabilities"]], 1)

    # where there is no Millstream: MLflow brings the model's own code
    store = f"sqlite:///{home / 'tracking.db'}"
    plain = predicted(run["model_uri"], pd.read_parquet(raw), users_folder(tmp_path / "theirs"), store).predictions
    assert plain["prediction"].tolist() == table.loc[pd.read_parquet(raw)["sample_id"], "prediction"].tolist()
    assert ROOT not in tmp_path.parents

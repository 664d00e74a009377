import json

from millstream.tracking.runs.mlflow_store import open_store
from millstream.tracking.runs.params import flatten
from millstream.tracking.runs.run import Run
from millstream.training.config.fit import Fit
from millstream.training.loop.train import train
from tests.training.fitted import located, rows


def test_a_run_has_the_defaults_that_it_was_trained_with_and_a_description(settings):
    dataset = rows(settings.home / "datasets")
    recipe = located(settings.home / "recipe")
    with Run.start(settings, recipe) as run:
        trained = train(recipe, run, dataset, register=False)
        run.params({"fit": {"epochs": 99}, "more": {"note": "of a later process"}})  # what a run has stays
    found = open_store(settings).get_run(run.id)
    written = flatten(recipe.resolved())
    assert "fit.optimizer.lr" not in written
    assert written.items() <= found.data.params.items()
    assert found.data.params["fit.optimizer.lr"] == str(Fit().optimizer.lr)
    assert found.data.params["network.activation"] == "relu"
    assert found.data.params["more.note"] == "of a later process"
    assert found.info.run_name == "recipe cpu seed 7"
    (given,) = found.inputs.dataset_inputs
    columns = {one["name"]: one["type"] for one in json.loads(given.dataset.schema)["mlflow_colspec"]}
    assert columns == {"a": "float32", "b": "float32", "c": "float32", "label": "int64, target"}
    page = found.data.tags["mlflow.note.content"]
    assert f"| this model | {trained.metrics['test/accuracy']:.5g} |" in page
    assert "| baseline: most frequent class of train (class " in page
    assert f"millstream run {recipe.file} --budget cpu" in page

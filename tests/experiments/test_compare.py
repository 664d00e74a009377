from dataclasses import replace

import pandas as pd
import pyarrow.parquet as pq
import pytest

from millstream.experiments.compare import compare
from millstream.tracking.comparison.significance import mcnemar
from millstream.tracking.errors import BadData, WrongRecipe
from millstream.tracking.runs import model_logging
from millstream.tracking.runs.mlflow_store import open_store
from millstream.tracking.runs.run import Run
from millstream.training.assembly import model_folder
from millstream.training.loop.train import train
from millstream.training.tasks.classify import Classify
from tests.training.fitted import located, rows

FIT = {
    "slow": {"epochs": 1, "batch_size": 32},
    "good": {"epochs": 60, "batch_size": 16, "optimizer": {"name": "adam", "lr": 0.05}},
}


@pytest.fixture
def dataset(settings):
    return rows(settings.home / "datasets")


def trained(settings, dataset, name, **options):
    recipe = replace(located(settings.home / name, fit=FIT[name]), name=name)
    with Run.start(settings, recipe, **options) as run:
        return train(recipe, run, dataset)


def right(settings, dataset, trained):
    """Whether the model is right about each test row, by what it serves."""
    test = pd.concat(pq.read_table(dataset.verified(shard)).to_pandas() for shard in dataset.shards("test"))
    found = model_folder.load(model_logging.model_folder(trained.model_uri, settings)).predict(test)["prediction"]
    return (found == "class " + test["label"].astype(str).reset_index(drop=True)).to_numpy()


def test_predictions_are_timed_of_rows_alone(settings, dataset, monkeypatch):
    # the empty slots of a batch of 1,024 took minutes where a row is a large image
    trained(settings, dataset, "slow")
    predict, seen = Classify.predict, []

    def watched(task, *inputs):
        seen.append(len(inputs[0]))
        return predict(task, *inputs)

    monkeypatch.setattr(Classify, "predict", watched)
    compare(settings, ["slow"], say=lambda message: None)
    assert set(seen) == {dataset.manifest.splits["test"].rows}


def test_the_newest_models_are_measured_again_on_the_same_rows(settings, dataset):
    before, slow = trained(settings, dataset, "good"), trained(settings, dataset, "slow")
    good = trained(settings, dataset, "good")
    trained(settings, dataset, "good", parent=before.run_id)  # a fold or a trial stands for no recipe
    board = compare(settings, ["slow", "good"], say=lambda message: None)
    assert [(one.recipe, one.run_id) for one in board] == [("good", good.run_id), ("slow", slow.run_id)]
    for one, expected in zip(board, (good, slow), strict=True):
        assert one.metrics == {name: expected.metrics[name] for name in one.metrics}
        assert one.train_seconds == expected.seconds
        assert one.score_seconds > 0
    # batches of 16 and of 32 are read by other lanes, so rows come in another order
    expected = mcnemar(right(settings, dataset, good), right(settings, dataset, slow))
    assert board[1].against_best.p == expected < 0.05
    client = open_store(settings)
    assert client.get_run(board[0].leaderboard).data.tags["dataset_version"] == "v1"
    kept = {one.path for one in client.list_artifacts(board[0].leaderboard)}
    assert kept == {"figures", "leaderboard.csv"}
    assert compare(settings, [], say=lambda message: None)[0].run_id == good.run_id


def test_a_new_version_is_held_against_the_champion(settings, dataset):
    slow, good = trained(settings, dataset, "slow"), trained(settings, dataset, "good")
    open_store(settings).set_registered_model_alias("slow", "champion", "1")
    named = ["models:/slow@champion", "models:/good/1"]
    board = compare(settings, named, say=lambda message: None)
    assert [(one.recipe, one.run_id) for one in board] == [(named[1], good.run_id), (named[0], slow.run_id)]
    beside = compare(settings, ["good", "models:/slow/1"], say=lambda message: None)
    assert [one.recipe for one in beside] == ["good", "models:/slow/1"]
    assert beside[1].against_best == board[1].against_best


@pytest.mark.bad_input
def test_a_missing_model_is_refused_with_what_to_give(settings, dataset):
    trained(settings, dataset, "slow")
    for address in ("slow/2", "slow@nobody", "slow", "nothing@champion", "nothing/1"):
        with pytest.raises(BadData, match=f"^models:/{address}: no such model .*; give models:/NAME/VERSION or models"):
            compare(settings, [f"models:/{address}"], say=lambda message: None)


@pytest.mark.bad_input
def test_there_is_nothing_to_compare_without_two_runs(settings):
    with pytest.raises(WrongRecipe, match="no two recipes have finished runs"):
        compare(settings, [], say=lambda message: None)
    with pytest.raises(WrongRecipe, match="recipe good: has no model"):
        compare(settings, ["good"], say=lambda message: None)

import re
from collections import Counter
from types import SimpleNamespace

import pytest
import yaml

from millstream.experiments import nested_runs
from millstream.experiments.nested_runs import Options
from millstream.experiments.study import run_study
from millstream.tracking.comparison.finished_runs import PARENT
from millstream.tracking.errors import BadData, BadEnvironment, TrainingFailed, WrongRecipe
from millstream.tracking.recipe import study as study_file
from millstream.tracking.runs.mlflow_store import open_store
from millstream.training.loop.resume import begin
from millstream.training.loop.train import train
from tests.training.fitted import FIT, rows

STUDY = {
    "about": "a test",
    "data": {"source": {"name": "digits"}},
    "task": {"name": "classify", "target": "label"},
    "network": {"name": "mlp/mlp", "hidden": [8]},
    "fit": FIT | {"epochs": 3, "optimizer": {"name": "adam", "lr": 0.05}},
    "vary": {"fit.init": ["zeros", "he"]},
    "metrics": ["train/accuracy", "test/accuracy"],
    "curve": "valid/loss",
    "pictures": "confusion",
    "ranked": "accuracy",
    "train_split": True,
}


@pytest.fixture
def lab(settings, tmp_path, monkeypatch):
    """Studies over one dataset version; `ran` counts how often each value was run, `break_at` breaks one of them."""
    dataset = rows(settings.home / "datasets")
    made = SimpleNamespace(ran=Counter(), break_at={}, settings=settings, messages=[], client=open_store(settings))

    def once(recipe, settings, *, parent, **options):
        init = recipe.recipe.fit["init"]
        made.ran[init] += 1
        with begin(recipe, settings, dataset, fresh=False, say=made.messages.append, parent=parent) as run:
            if init in made.break_at:
                raise made.break_at.pop(init)
            return None, train(recipe, run, dataset, register=False)

    def study(fresh=False, **sections):
        file = tmp_path / "mine.yaml"
        file.write_text(yaml.safe_dump(STUDY | sections))
        return run_study(study_file.load(str(file)), Options(settings, fresh=fresh), say=made.messages.append)

    monkeypatch.setattr(nested_runs, "once", once)
    monkeypatch.setattr(nested_runs, "published", lambda recipe, settings: dataset)
    made.study = study
    return made


def test_every_combination_is_a_run_inside_one_and_is_run_once(lab):
    found = lab.study()
    zeros, he = found.rows
    # all units alike: one class for all rows, whichever
    assert zeros.metrics["test/accuracy"] < 0.6 < he.metrics["test/accuracy"]
    assert {"train/accuracy", "train/loss", "test/loss", "valid/loss"} <= he.metrics.keys()
    for row in found.rows:
        child = lab.client.get_run(row.run_id)
        assert child.data.tags[PARENT] == found.run_id
        assert child.data.metrics["test/accuracy"] == row.metrics["test/accuracy"]
    parent = lab.client.get_run(found.run_id)
    assert parent.info.status == "FINISHED"
    assert [(one.recipe, one.place) for one in found.ranked] == [("he", 1), ("zeros", 2)]
    assert [one.value for one in found.ranked] == [row.metrics["test/accuracy"] for row in (he, zeros)]
    assert found.ranked[1].against_best.test == "mcnemar"
    assert {"figures", "study.csv", "leaderboard.csv"} <= {one.path for one in lab.client.list_artifacts(found.run_id)}
    drawn = {one.path for one in lab.client.list_artifacts(found.run_id, "figures")}
    assert drawn >= {"figures/study.png", "figures/pictures.png", "figures/leaderboard.png"}
    assert he.metrics["network/parameters"] == 3 * 8 + 8 + 8 * 3 + 3
    again = lab.study()
    assert (again.run_id, again.rows) == (found.run_id, found.rows)
    assert lab.ran == {"zeros": 1, "he": 1}
    # a value that is added is all that is run
    more = lab.study(vary={"fit.init": ["zeros", "xavier", "he"]})
    assert more.run_id == found.run_id
    assert [more.rows[0], more.rows[2]] == found.rows
    assert lab.ran == {"zeros": 1, "he": 1, "xavier": 1}
    assert lab.study(fresh=True).run_id != found.run_id
    assert lab.ran == {"zeros": 2, "he": 2, "xavier": 1}


@pytest.mark.fault
def test_a_study_that_is_stopped_is_resumed_where_it_was(lab):
    lab.break_at["he"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        lab.study()
    (parent,) = [one for one in runs(lab) if PARENT not in one.data.tags]
    assert parent.info.status == "KILLED"
    # a file of one's own is known by its path alone
    assert re.fullmatch(r"millstream study \S+/mine\.yaml --budget cpu", parent.data.tags["go_on"])
    found = lab.study()
    assert found.run_id == parent.info.run_id
    assert lab.ran == {"zeros": 1, "he": 2}
    assert [row.values["fit.init"] for row in found.rows] == ["zeros", "he"]


def test_a_training_that_fails_is_reported_and_the_others_continue(lab):
    lab.break_at["zeros"] = TrainingFailed.at("step 3", "the loss is nan")
    broken, he = lab.study().rows
    assert broken.failed == "step 3: the loss is nan"
    assert broken.metrics == {}
    assert he.failed is None
    assert lab.study().rows[0].failed is None
    assert lab.ran == {"zeros": 2, "he": 1}


def runs(lab):
    return lab.client.search_runs([lab.client.get_experiment_by_name("mine").experiment_id])


@pytest.mark.parametrize("kind", [WrongRecipe, BadData])
def test_combinations_of_wrong_recipe_or_data_are_rows_even_if_all_are(lab, kind):
    lab.break_at = {"zeros": kind.at("here", "is wrong"), "he": kind.at("there", "is wrong, too")}
    found = lab.study()
    assert [row.failed for row in found.rows] == ["here: is wrong", "there: is wrong, too"]
    assert found.ranked == []


def test_what_the_environment_lacks_ends_the_study(lab):
    lab.break_at = {"zeros": BadEnvironment.at("disk", "is full")}
    with pytest.raises(BadEnvironment, match="is full"):
        lab.study()
    assert lab.ran == {"zeros": 1}

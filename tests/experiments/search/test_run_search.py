from collections import Counter
from types import SimpleNamespace

import pytest
import yaml

from millstream.experiments import nested_runs
from millstream.experiments.nested_runs import Options
from millstream.experiments.search.run_search import Search, run_search, sets
from millstream.experiments.search.space import Range, Space, Values
from millstream.tracking.comparison.finished_runs import PARENT
from millstream.tracking.errors import BadData, BadEnvironment, TrainingFailed, WrongRecipe
from millstream.tracking.inspection import page
from millstream.tracking.recipe.loader import load
from millstream.tracking.runs.mlflow_store import open_store
from millstream.training.loop.resume import begin
from millstream.training.loop.train import train
from tests.training.fitted import FIT, rows

RECIPE = {
    "about": "a test",
    "data": {"source": {"name": "digits"}},
    "task": {"name": "classify", "target": "label"},
    "network": {"name": "mlp/mlp", "hidden": [8]},
    "fit": FIT | {"epochs": 1, "optimizer": {"name": "adam", "lr": 0.05}},
}
SPACE = Space({"fit.optimizer.lr": Range(low=1e-3, high=0.3, log=True), "fit.init": Values(values=("zeros", "he"))})


@pytest.fixture
def lab(settings, tmp_path, monkeypatch):
    """Searches over one dataset version; `ran` counts how often values were run, `break_at` breaks a training."""
    dataset = rows(settings.home / "datasets")
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(RECIPE))
    made = SimpleNamespace(ran=Counter(), break_at={}, settings=settings, client=open_store(settings))

    def once(recipe, settings, *, parent, **options):
        made.ran[recipe.sets] += 1
        with begin(recipe, settings, dataset, fresh=False, say=str, parent=parent) as run:
            broken = made.break_at.pop(made.ran.total(), None)
            if broken is not None:
                raise broken
            return None, train(recipe, run, dataset, register=False, test=False)

    def search(trials=10, metric="valid/accuracy", strategy="genetic", fresh=False):
        wanted = Search(
            base=load(str(file)),
            space=SPACE,
            strategy=strategy,
            seed=7,
            metric=metric,
            largest=metric == "valid/accuracy",
            again="millstream search once more",
            recipe=lambda values: load(str(file), sets=sets(values)),
        )
        return run_search(wanted, trials, Options(settings, fresh=fresh), say=str)

    # models and pages of 60 trials are not what is looked at
    monkeypatch.setattr("millstream.training.loop.train._log_model", lambda *words: "runs:/none")
    monkeypatch.setattr(page, "logged", lambda dataset: "")
    monkeypatch.setattr(nested_runs, "once", once)
    monkeypatch.setattr(nested_runs, "published", lambda recipe, settings: dataset)
    made.search = search
    return made


def results(found):
    return [(row.values, row.metrics, row.failed) for row in found.trials]


def test_trials_are_runs_inside_one_and_the_best_of_them_is_returned(lab):
    found = lab.search(trials=3)
    assert found.best.value == max(row.metrics["valid/accuracy"] for row in found.trials)
    (at,) = {row.run_id for row in found.trials if row.values == found.best.values}
    assert at == found.best.run_id
    assert found.words == ["--budget", "cpu", *(word for one in sets(found.best.values) for word in ("--set", one))]
    for row in found.trials:
        run = lab.client.get_run(row.run_id)
        assert run.data.tags[PARENT] == found.run_id
        # the test split is for the recipe that is chosen
        assert not [name for name in run.data.metrics if name.startswith("test/")]
    parent = lab.client.get_run(found.run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["best/accuracy"] == found.best.value
    assert {"figures", "trials.csv"} <= {one.path for one in lab.client.list_artifacts(found.run_id)}


@pytest.mark.fault
def test_a_search_that_is_stopped_ends_as_an_unbroken_one(lab):
    # a child of those before: it has to be proposed once more
    lab.break_at[9] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        lab.search()
    broken = lab.client.search_runs([lab.client.get_experiment_by_name("mine").experiment_id])
    (parent,) = [one for one in broken if PARENT not in one.data.tags]
    assert parent.data.tags["go_on"] == "millstream search once more"
    found = lab.search()
    assert found.run_id == parent.info.run_id
    # the ninth alone was run twice
    assert sorted(lab.ran.values()) == [*[1] * (len(lab.ran) - 1), 2]
    unbroken = lab.search(fresh=True)
    assert unbroken.run_id != found.run_id
    assert results(unbroken) == results(found)


def test_more_trials_continue_after_those_that_are_there(lab):
    few = lab.search(trials=2)
    ran = lab.ran.total()
    more = lab.search(trials=3)
    assert more.run_id == few.run_id
    assert more.trials[:2] == few.trials
    assert lab.ran.total() == ran + 1
    # another strategy is another search
    assert lab.search(trials=1, strategy="random").run_id != few.run_id


def test_a_trial_that_fails_is_reported_and_the_others_continue(lab):
    lab.break_at[2] = TrainingFailed.at("step 3", "the loss is nan")
    found = lab.search(trials=3, metric="valid/loss")
    assert [row.failed for row in found.trials] == [None, "step 3: the loss is nan", None]
    assert found.best.value == min(found.trials[at].metrics["valid/loss"] for at in (0, 2))


@pytest.mark.parametrize("kind", [WrongRecipe, BadData, TrainingFailed])
def test_a_trial_that_fails_is_a_row_with_its_reason_also_when_the_search_is_resumed(lab, kind):
    broken = kind.at("here", "is wrong")
    lab.break_at = {2: broken}
    found = lab.search(trials=3, strategy="random")
    assert [row.failed for row in found.trials] == [None, "here: is wrong", None]
    lab.break_at = {lab.ran.total() + 1: broken}
    again = lab.search(trials=4, strategy="random")
    assert [row.failed for row in again.trials] == [None, "here: is wrong", None, None]
    assert results(again)[:3] == results(found)
    assert lab.ran.total() == 3 + 2


def test_what_the_environment_lacks_ends_the_search_which_is_resumed_when_it_is_repaired(lab):
    lab.break_at = {2: BadEnvironment.at("disk", "is full")}
    with pytest.raises(BadEnvironment, match="is full"):
        lab.search(trials=3)
    assert [row.failed for row in lab.search(trials=3).trials] == [None] * 3
    assert lab.ran.total() == 4


@pytest.mark.bad_input
def test_a_metric_that_no_trial_measures_is_refused_with_those_that_there_are(lab):
    with pytest.raises(WrongRecipe, match="valid/accuracy"):
        lab.search(metric="valid/acuracy")


def test_trials_that_all_fail_fail_the_search(lab):
    lab.break_at = {1: TrainingFailed.at("step 1", "nan"), 2: TrainingFailed.at("step 1", "nan")}
    with pytest.raises(TrainingFailed, match="none of 2 trials"):
        lab.search(trials=2)

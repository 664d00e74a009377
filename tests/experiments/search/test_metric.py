import pytest

from millstream.experiments.search.metric import direction_of, metric_of
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.recipe.loader import load
from tests.tracking.recipes import WHOLE, write

MARKED = WHOLE.replace("pass:", "pass:") if "pass:" in WHOLE else WHOLE + 'pass: {test/accuracy: ">= 0.5"}\n'


def located(folder, text, *sets):
    return load(str(write(folder, text)), sets=sets)


def objective(recipe, metric=None):
    found = metric_of(recipe, metric)
    return found, direction_of(recipe, found)


def test_the_pass_mark_decides_what_is_compared_on_the_valid_split(tmp_path):
    assert objective(located(tmp_path, MARKED)) == ("valid/accuracy", "max")
    # episodes of the test would choose among policies, too
    assert objective(load("rl/dqn-cartpole")) == ("valid/return", "max")


def test_without_a_mark_it_is_what_the_training_watches(tmp_path):
    recipe = located(tmp_path, MARKED, "pass={}")
    assert objective(recipe) == ("valid/loss", "min")
    watched = located(tmp_path, MARKED, "pass={}", "fit.monitor=valid/macro_f1", "fit.direction=min")
    assert objective(watched) == ("valid/macro_f1", "min")


@pytest.mark.parametrize(("metric", "direction"), [("calibration_error", "min"), ("auc", "max"), ("loss", "min")])
def test_a_requested_metric_has_the_direction_that_its_task_declares(tmp_path, metric, direction):
    assert objective(located(tmp_path, MARKED), f"valid/{metric}") == (f"valid/{metric}", direction)


@pytest.mark.bad_input
def test_a_metric_without_a_direction_is_not_searched_by(tmp_path):
    with pytest.raises(WrongRecipe, match="classify declares no direction of it; add --direction min or max"):
        objective(located(tmp_path, MARKED), "network/parameters")

import pytest

from millstream.experiments.search.metric import metric_of
from millstream.tracking.recipe.loader import load
from tests.tracking.recipes import WHOLE, write

MARKED = WHOLE.replace("pass:", "pass:") if "pass:" in WHOLE else WHOLE + 'pass: {test/accuracy: ">= 0.5"}\n'


def located(folder, text, *sets):
    return load(str(write(folder, text)), sets=sets)


def test_the_pass_mark_decides_what_is_compared_on_the_valid_split(tmp_path):
    assert metric_of(located(tmp_path, MARKED), None, None) == ("valid/accuracy", True)
    # episodes of the test would choose among policies, too
    assert metric_of(load("rl/dqn-cartpole"), None, None) == ("valid/return", True)


def test_without_a_mark_it_is_what_the_training_watches(tmp_path):
    recipe = located(tmp_path, MARKED, "pass={}")
    assert metric_of(recipe, None, None) == ("valid/loss", False)
    watched = located(tmp_path, MARKED, "pass={}", "fit.monitor=valid/macro_f1", "fit.direction=max")
    assert metric_of(watched, None, None) == ("valid/macro_f1", True)


@pytest.mark.parametrize(("metric", "largest"), [("valid/rmse", False), ("valid/auc", True), ("valid/nll", False)])
def test_a_requested_metric_has_the_direction_of_its_kind(tmp_path, metric, largest):
    recipe = located(tmp_path, MARKED)
    assert metric_of(recipe, metric, None) == (metric, largest)
    assert metric_of(recipe, metric, "max" if not largest else "min") == (metric, not largest)

import pytest

from millstream.tracking.errors import WrongRecipe
from millstream.tracking.recipe.study import is_study, load
from tests.tracking.recipes import WHOLE, write

STUDY = (
    WHOLE
    + """\
vary:
  network.channels: [[4, 8], [8, 16], [2, 2]]
  penalty:
    none: {}
    L1: {fit.l1: 0.25}
metrics: [test/accuracy, test/loss]
curve: valid/loss
"""
)


def study(folder, *changes, **options):
    return load(str(write(folder, STUDY, *changes)), **options)


def test_every_combination_is_the_recipe_with_its_fields(tmp_path):
    found = study(tmp_path)
    assert found.faults == ()
    expected = [(channels, l1) for channels in ([4, 8], [8, 16], [2, 2]) for l1 in (None, 0.25)]
    recipes = [one.recipe for _, one in found.combinations]
    assert [(one.network["channels"], one.fit.get("l1")) for one in recipes] == expected
    assert [labels for labels, _ in found.combinations][:2] == [
        {"network.channels": "[4, 8]", "penalty": "none"},
        {"network.channels": "[4, 8]", "penalty": "L1"},
    ]
    # what does not vary is the recipe's
    assert {one.data.model_dump_json() for one in recipes} == {found.base.recipe.data.model_dump_json()}
    assert found.base.recipe.network["channels"] == [4, 8]


def test_a_budget_and_settings_change_the_recipe_or_what_varies(tmp_path):
    smaller = ("smoke: {fit.epochs: 1}", "smoke: {fit.epochs: 1, vary.network.channels: [[2, 2]]}")
    found = study(tmp_path, smaller, budget="smoke", sets=["fit.batch_size=32"])
    assert found.faults == ()
    assert [one.recipe.network["channels"] for _, one in found.combinations] == [[2, 2]] * 2
    assert {(one.recipe.fit["epochs"], one.recipe.fit["batch_size"]) for _, one in found.combinations} == {(1, 32)}
    assert len(study(tmp_path, smaller).combinations) == 6


def test_settings_give_what_varies_other_values(tmp_path):
    smaller = ("smoke: {fit.epochs: 1}", "smoke: {fit.epochs: 1, vary.network.channels: [[2, 2]]}")
    sets = ["vary.network.channels=[[3, 3], [4, 4]]", "vary.fit.seed=[8, 9]", "fit.batch_size=32"]
    found = study(tmp_path, smaller, budget="smoke", sets=sets)
    assert found.faults == ()
    recipes = [one.recipe for _, one in found.combinations]
    assert [one.network["channels"] for one in recipes] == [[3, 3]] * 4 + [[4, 4]] * 4
    assert [one.fit["seed"] for one in recipes] == [8, 9] * 4
    assert {one.fit["batch_size"] for one in recipes} == {32}
    assert found.base.sets == tuple(sets)  # so that the command that resumes it is the one that was given


def test_a_study_is_distinguished_from_a_recipe(tmp_path):
    assert is_study(str(write(tmp_path, STUDY)))
    assert is_study("studies/initialisation")
    assert not is_study("cnn/lenet-digits")
    assert not is_study(str(write(tmp_path)))
    assert not is_study(str(tmp_path / "nothing.yaml"))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (("curve: ", "curv: "), "mine.yaml:20", "curv: no such field; did you mean 'curve'?"),
        (("about: a test", "abuot: a test"), "mine.yaml:1", "did you mean 'about'?"),
        (("[[4, 8], [8, 16], [2, 2]]", "[]"), "mine.yaml:14", "network.channels: expected a list of values"),
        (("[[4, 8], [8, 16], [2, 2]]", "8"), "mine.yaml:14", "network.channels: expected a list of values"),
        (("L1: {fit.l1: 0.25}", "L1: 0.25"), "mine.yaml:14", "penalty: expected a list of values or {name: {field"),
        (("L1: {fit.l1: 0.25}", "L1: {data.steps.scael.low: 0.25}"), "mine.yaml:16", "no 'scael' in the list"),
    ],
)
def test_what_is_wrong_is_reported_once_with_its_line(tmp_path, change, line, message):
    faults = study(tmp_path, change).faults
    assert [message in str(fault) for fault in faults].count(True) == 1, faults
    assert any(line in fault.where for fault in faults if message in str(fault)), faults


@pytest.mark.bad_input
def test_more_combinations_than_a_study_has_are_refused(tmp_path):
    many = ("[[4, 8], [8, 16], [2, 2]]", str(list(range(300))))
    (fault,) = study(tmp_path, many).faults
    assert "600 combinations, and 500 are the most" in fault.message


@pytest.mark.bad_input
def test_what_varies_is_not_set_beside_it(tmp_path):
    (fault,) = study(tmp_path, sets=["fit.l1=0.5"]).faults
    assert fault.where == "--set fit.l1=0.5"


@pytest.mark.bad_input
@pytest.mark.parametrize("values", ["8", "", "{L1: 3}"])
def test_values_that_are_none_are_reported_as_in_a_file(tmp_path, values):
    faults = study(tmp_path, sets=[f"vary.fit.seed={values}"]).faults
    assert any("fit.seed: expected a list of values" in fault.message for fault in faults), faults


@pytest.mark.bad_input
def test_settings_of_what_varies_that_are_no_yaml_are_refused(tmp_path):
    with pytest.raises(WrongRecipe, match=r"--set vary\.fit\.seed"):
        study(tmp_path, sets=["vary.fit.seed=[7"])


@pytest.mark.bad_input
def test_an_unknown_study_is_refused_with_the_nearest():
    with pytest.raises(WrongRecipe, match="did you mean 'initialisation'"):
        load("initialization")

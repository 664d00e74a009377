from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from millstream.tracking.errors import WrongRecipe
from millstream.tracking.recipe.loader import load
from millstream.tracking.recipe.schema import config_of, parse_mark
from tests.tracking.recipes import WHOLE, write


def test_budget_and_settings_change_fields_and_the_last_word_is_the_users(tmp_path):
    file = write(tmp_path)
    assert load(str(file)).recipe.fit["epochs"] == 2
    assert load(str(file), budget="smoke").recipe.fit["epochs"] == 1
    assert load(str(file), budget="smoke", sets=["fit.epochs=5"]).recipe.fit["epochs"] == 5


def test_a_step_is_named_by_its_place_or_its_name(tmp_path):
    file = str(write(tmp_path))
    by_name = load(file, sets=["data.steps.split.valid=0.3"]).recipe
    by_place = load(file, sets=["data.steps.0.split.valid=0.3"]).recipe
    assert by_name == by_place
    assert by_name.data.steps[0]["split"]["valid"] == 0.3


def test_set_reads_plain_values(tmp_path):
    file = str(write(tmp_path))
    found = load(file, sets=["network.channels=[8, 16]", "fit.clip=0.5", "task.target=a b"]).recipe
    assert (found.network["channels"], found.fit["clip"], found.task["target"]) == ([8, 16], 0.5, "a b")


@pytest.mark.security
def test_set_runs_nothing(tmp_path):
    with pytest.raises(WrongRecipe, match="tag"):
        load(str(write(tmp_path)), sets=["fit.epochs=!!python/object/apply:os.getpid []"])


@pytest.mark.bad_input
def test_all_faults_of_the_shape_come_at_once_with_line_and_nearest_name(tmp_path):
    file = write(
        tmp_path,
        WHOLE,
        ("about: a test", "abuot: a test"),
        ('test/loss: "<= 1"', 'test/loss: "< 1"'),
        ("  smoke: {fit", "  smok: {fit"),
    )
    faults = [str(fault) for fault in load(str(file)).faults]
    assert len(faults) == 4
    assert any("mine.yaml:1: abuot: no such field; did you mean 'about'?" in one for one in faults)
    assert any("about: required" in one for one in faults)
    assert any(
        "mine.yaml:13: pass: test/loss: expected '>= number' or '<= number', found '< 1'" in one for one in faults
    )
    assert any("mine.yaml:11: budgets.smok" in one for one in faults)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("about: a test", "- a\n- b")], "not YAML|expected a mapping"),
        ([("task: {name: classify, target: label}", "task: classify")], "task"),
        ([("    - split: {by", "    - split: {}\n      scale: {}\n    - split: {by")], "step 0: expected one"),
        ([("  source: {name: digits}", "  source: digits")], "data.source"),
    ],
)
def test_a_wrong_shape_is_reported_with_its_field(tmp_path, changes, message):
    file = write(tmp_path, WHOLE, *changes)
    with pytest.raises(WrongRecipe, match=message):
        load(str(file)).recipe


@pytest.mark.bad_input
def test_a_setting_that_leads_nowhere_is_a_fault_of_the_setting(tmp_path):
    faults = [
        str(one) for one in load(str(write(tmp_path)), sets=["data.steps.cut.x=1", "nothing", "about.x=1"]).faults
    ]
    assert [one.partition(":")[0] for one in faults] == ["--set data.steps.cut.x", "--set nothing", "--set about.x"]


def test_a_fault_in_a_set_field_points_at_the_set(tmp_path):
    located = load(str(write(tmp_path)), sets=["fit.epochs=many"])
    assert located.where("fit.epochs") == "--set fit.epochs"
    assert located.where("fit.batch_size").endswith("mine.yaml:9")
    assert located.where("fit.nowhere").endswith("mine.yaml:9")


class Steep(BaseModel, extra="forbid"):
    name: Literal["steep"]
    rate: float = Field(gt=0)


class Flat(BaseModel, extra="forbid"):
    name: Literal["flat"]


class Kinds(BaseModel, extra="forbid"):
    sides: Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=1)], ...] = 1
    way: Steep | Flat = Field(Flat(name="flat"), discriminator="name")


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"sides": -1}, "fit.sides: Input should be greater than or equal to 1 or a valid tuple; found -1"),
        ({"sides": [2, -1]}, "fit.sides.1: Input should be greater than or equal to 1; found -1"),
        ({"way": {"name": "steep", "rate": -1}}, "fit.way.rate: Input should be greater than 0; found -1"),
        ({"way": {"name": "steep"}}, "fit.way.rate: required, and missing"),
        (
            {"way": {"name": "steep", "rate": 1, "rat": 1}},
            "fit.way.rat: no such field; did you mean 'rate'? known: name, rate",
        ),
    ],
)
def test_a_fault_of_a_field_of_several_kinds_is_reported_by_what_the_recipe_has(tmp_path, given, expected):
    _, found = config_of(Kinds, given, load(str(write(tmp_path))), "fit")
    assert expected in [one.message for one in found]
    assert all(word not in str(found) for word in ("constrained", "tuple[", "steep."))


@pytest.mark.bad_input
def test_an_unknown_recipe_gets_the_nearest_name():
    with pytest.raises(WrongRecipe, match="did you mean 'cnn/lenet-digits'"):
        load("cnn/lenet-digit")


@pytest.mark.parametrize(
    ("metrics", "passed"),
    [
        ({"test/accuracy": 0.9, "test/loss": 1.0}, True),
        ({"test/accuracy": 0.8999999761581421, "test/loss": 1.0}, True),  # 9 of 10 in single precision
        ({"test/accuracy": 0.8999, "test/loss": 1.0}, False),
        ({"test/accuracy": 0.9, "test/loss": 1.0001}, False),
        ({"test/accuracy": 0.9, "test/loss": 1e300}, False),
        ({"test/accuracy": 0.9}, False),
        ({"test/accuracy": float("nan"), "test/loss": 0.0}, False),
    ],
)
def test_a_recipe_is_passed_when_every_mark_is_reached(tmp_path, metrics, passed):
    assert load(str(write(tmp_path))).recipe.passed(metrics) is passed


def test_without_marks_nothing_is_judged(tmp_path):
    file = write(tmp_path, WHOLE[: WHOLE.index("pass:")])
    assert load(str(file)).recipe.passed({"test/accuracy": 1.0}) is None


@pytest.mark.parametrize("mark", ["0.9", "> 0.9", ">= many", "", ">= 0.9 or so", "__import__('os')"])
def test_a_mark_that_is_none_is_refused(mark):
    with pytest.raises(ValueError, match="expected '>= number'"):
        parse_mark("test/accuracy", mark)


@pytest.mark.bad_input
def test_data_and_environment_exclude_each_other(tmp_path):
    file = write(tmp_path, WHOLE, ("task:", "environment: {name: gymnasium, id: CartPole-v1}\ntask:"))
    assert any("either data: or environment:" in fault.message for fault in load(str(file)).faults)


BASED = """\
about: the same with another network
base: mine.yaml
network: {name: mlp/mlp}
change: {data.steps.split.valid: 0.2, fit.epochs: 7}
"""


def test_a_recipe_on_a_base_replaces_sections_and_changes_fields(tmp_path):
    base = load(str(write(tmp_path))).recipe
    found = load(str(write(tmp_path, BASED, name="other.yaml"))).recipe
    assert found.about == "the same with another network"
    assert found.network == {"name": "mlp/mlp"}
    assert found.data.steps[0]["split"] == {"by": "stratified", "valid": 0.2, "test": 0.2}
    assert found.fit == base.fit | {"epochs": 7}
    assert (found.task, found.marks, found.data.source) == (base.task, base.marks, base.data.source)


def test_a_budget_of_the_base_and_settings_come_after_the_changes(tmp_path):
    write(tmp_path)
    file = str(write(tmp_path, BASED, name="other.yaml"))
    assert load(file, budget="smoke").recipe.fit["epochs"] == 1
    assert load(file, sets=["fit.epochs=3"]).recipe.fit["epochs"] == 3


@pytest.mark.bad_input
def test_a_fault_names_the_file_in_which_its_field_stands(tmp_path):
    write(tmp_path, WHOLE, ("budgets:", "budgetz:"))
    file = write(tmp_path, BASED, ("fit.epochs: 7", "fit.epochs.x: 7"), name="other.yaml")
    faults = [str(fault) for fault in load(str(file)).faults]
    assert any("mine.yaml:10: budgetz: no such field" in one for one in faults)
    assert any("other.yaml:4: fit.epochs.x" in one for one in faults)


def test_all_of_what_is_changed_stands_where_the_change_does(tmp_path):
    smoke = ("smoke: {fit.epochs: 1}", "smoke: {network: {name: mlp/mlp, hidden: [8]}}")
    base = write(tmp_path, WHOLE, smoke)
    based = "about: x\nbase: mine.yaml\nchange:\n  data.steps:\n    - split:\n        by: group\n"
    file = write(tmp_path, based, name="other.yaml")
    found = load(str(file), budget="smoke")
    assert found.where("data.steps.0.split.by") == f"{file}:6"
    assert found.where("data.steps.0.split.valid") == f"{file}:5"
    assert found.where("data.source.name") == f"{base}:3"
    assert found.where("network.hidden") == found.where("network.channels") == f"{base}:11"
    assert load(str(file), sets=["network={name: mlp/mlp}"]).where("network.channels") == "--set network"


@pytest.mark.bad_input
@pytest.mark.security
@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("other.yaml", "based on this recipe again"),
        ("round.yaml", "based on this recipe again"),
        ("../mine.yaml", "leads out"),
        ("/etc/mine.yaml", "leads out"),
        ("cnn/lenet-minst", "cnn/lenet-mnist"),
        ("nowhere.yaml", "cannot be read"),
    ],
)
def test_a_base_that_comes_round_or_leads_out_is_refused(tmp_path, base, message):
    write(tmp_path, "about: x\nbase: other.yaml\n", name="round.yaml")
    file = write(tmp_path, BASED, ("mine.yaml", base), name="other.yaml")
    with pytest.raises(WrongRecipe, match=message):
        load(str(file))


def test_a_recipe_of_data_alone_needs_neither_task_nor_network(tmp_path):
    data = WHOLE[: WHOLE.index("task:")]
    assert load(str(write(tmp_path, data))).recipe.trains is False
    faults = load(str(write(tmp_path, data + "task: {name: classify, target: label}\n"))).faults
    assert any("network: required" in str(fault) for fault in faults)

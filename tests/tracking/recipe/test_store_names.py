import posixpath
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import Param

from millstream.tracking.recipe import store_names
from millstream.tracking.recipe.loader import load
from millstream.tracking.runs.mlflow_store import experiment, open_store
from millstream.tracking.runs.params import flatten
from millstream.tracking.runs.run import Run
from tests.tracking.recipes import WHOLE, write

QUESTION = "How satisfied were you, over the past months, with the answers? " * 5
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=400)


@given(st.lists(TEXTS, min_size=1, max_size=20, unique=True))
def test_every_leaf_has_a_param_of_its_own_whose_name_mlflow_takes(columns):
    params = flatten({"data": {"columns": {name: {"type": at} for at, name in enumerate(columns)}}})
    assert sorted(params.values(), key=int) == [str(at) for at in range(len(columns))]
    for name in params:  # the rules of MLflow's `_validate_param_name`, and of its databases
        assert re.fullmatch(r"[/\w.\- :]*", name)
        assert posixpath.normpath(name) == name
        assert len(name) <= 250


@given(TEXTS)
def test_a_name_that_was_cut_or_is_taken_ends_with_digits_of_the_whole(text):
    first = store_names.param_name(text)
    assert store_names.param_name(text) == first
    assert store_names.param_name(text, {first}) not in ("", first) or len(first) == store_names.LONGEST_NAME


def test_a_store_takes_params_of_columns_with_long_odd_and_like_names(settings, located):
    columns = {QUESTION + "a": 0, QUESTION + "b": 1, "a?": 2, "a!": 3, "a//b": 4, "../a": 5, "x" * 300: 6}
    client = open_store(settings)
    run_id = client.create_run(experiment(client, settings, "columns")).info.run_id
    params = flatten({"columns": columns})
    client.log_batch(run_id, params=[Param(name, value) for name, value in params.items()])
    assert sorted(client.get_run(run_id).data.params.values()) == list("0123456")


@pytest.mark.bad_input
@pytest.mark.parametrize("name", ["c 12:30", "what?", "me@home", "a\tb", "..a", " "])
def test_a_recipe_that_no_model_can_be_named_after_is_refused_before_any_work(tmp_path, name):
    found = load(str(write(tmp_path, name=f"{name}.yaml")))
    (fault,) = found.faults
    assert fault.where == str(tmp_path / f"{name}.yaml")
    assert "rename the file" in fault.message


def test_a_recipe_of_data_alone_registers_nothing_and_has_any_name(tmp_path):
    alone = WHOLE[: WHOLE.index("task:")]
    assert load(str(write(tmp_path, alone, name="c 12:30.yaml"))).faults == ()


@pytest.mark.parametrize("name", ["a b", "a.b", "Ä", "50%", "a#b", "a'b", 'a"b', "a;b", "a\\b", "a=b", "n" * 250])
def test_a_model_is_registered_and_found_again_by_the_name_of_its_recipe(shared, tmp_path, name):
    assert store_names.unfit(name) is None
    client = MlflowClient(shared.tracking_uri, shared.tracking_uri)
    with Run.start(shared, load(str(write(tmp_path, name=f"{name[:240]}.yaml")))) as run:
        client.create_registered_model(store_names.registered_name(run.located.name))
    assert client.get_registered_model(store_names.registered_name(run.located.name)).name == run.located.name


def test_a_name_that_a_database_has_no_room_for_is_unfit():
    assert "at most 250 letters" in str(store_names.unfit("n" * 251))

"""Who becomes champion: one test for each rule, by figures alone."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.tracking.errors import BadData
from millstream.tracking.runs.champion import Champion, Entry, decide
from millstream.tracking.runs.store_errors import StoreError

MARKS = {"test/accuracy": ">= 0.8"}


def entry(accuracy=0.9, **more):
    facts = {"recipe": "cnn/lenet", "about": "", "dataset": "digits", "dataset_version": "v1", "budget": "cpu"}
    return Entry(**{**facts, "marks": MARKS, "metrics": {"test/accuracy": accuracy}, **more})


def champion(accuracy=0.85, **more):
    facts = {"version": "3", "dataset_version": "v1", "budget": "cpu", "metrics": {"test/accuracy": accuracy}}
    return Champion(**facts | more)


def unmeasured():
    raise AssertionError("the champion was measured again, without need")


def decided(ours, theirs=None, measure=unmeasured):
    return decide(ours, theirs, measure)


UNFIT = {
    "a smoke run": (entry(budget="smoke"), "it was trained with the budget smoke"),
    "limited data": (entry(limit=600), r"it was trained on a part of the data \(limit: 600\)"),
    "a missed mark": (entry(0.7), "it misses its pass mark: test/accuracy 0.7, not >= 0.8"),
    "one of two marks": (
        entry(marks=MARKS | {"test/loss": "<= 1"}, metrics={"test/accuracy": 0.9, "test/loss": 1.5}),
        "it misses its pass mark: test/loss 1.5, not <= 1",
    ),
    "no figure": (entry(marks={}, metrics={}, metric="test/rmse"), "it has no number for test/rmse"),
    "no number": (entry(marks={}, metric="test/accuracy", metrics={"test/accuracy": math.nan}), "it has no number"),
}


@pytest.mark.parametrize("name", UNFIT)
@pytest.mark.parametrize("before", [None, champion(0.1), champion(0.1, budget="smoke"), champion(has_files=False)])
def test_a_model_that_does_not_qualify_is_never_champion(name, before):
    ours, why = UNFIT[name]
    found = decided(ours, before)
    assert not found.promoted
    assert re.match(why, found.why)


def test_the_first_that_qualifies_is_champion_whatever_the_marks():
    assert decided(entry()).promoted
    assert decided(entry(marks={}, metric="test/accuracy")).promoted
    assert decided(entry(marks={}, metrics={})).promoted  # nothing is known to compare it by


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (champion(0.99, budget="smoke"), "version 3, the champion before, was trained with the budget smoke"),
        (champion(0.99, limit=600), r"version 3, .*was trained on a part of the data \(limit: 600\)"),
        (champion(0.99, has_files=False), "version 3, the champion before, has lost its files"),
        (champion(metrics=None), "version 3, the champion before, has lost its run"),
        (champion(metrics={}), "version 3, the champion before, has no number for test/accuracy"),
        (champion(math.nan), "version 3, the champion before, has no number for test/accuracy"),
    ],
)
def test_a_champion_that_would_not_qualify_today_yields_to_the_first_that_does(before, why):
    found = decided(entry(0.81), before)
    assert found.promoted
    assert re.match(why, found.why)


def test_a_champion_that_was_chosen_by_hand_yields_to_better_figures_alone():
    chosen = champion(0.95, budget="smoke", limit=600, is_chosen=True)
    assert not decided(entry(0.94), chosen).promoted
    assert decided(entry(0.96), chosen).promoted
    assert not decided(entry(0.81), champion(0.95, is_chosen=True)).promoted


def test_a_champion_that_misses_a_mark_yields_to_one_that_reaches_it():
    marks = MARKS | {"test/loss": "<= 1"}
    better = champion(metrics={"test/accuracy": 0.95, "test/loss": 1.5})
    found = decided(entry(marks=marks, metrics={"test/accuracy": 0.9, "test/loss": 0.5}), better)
    assert found.promoted
    assert found.why.endswith("that one misses the pass mark of test/loss")


@given(st.floats(0.8, 1), st.floats(0.8, 1))
def test_on_the_same_data_the_better_figure_is_champion_and_an_equal_one_stays(ours, theirs):
    assert decided(entry(ours), champion(theirs)).promoted == (ours > theirs)


@given(st.floats(-9, 9), st.floats(-9, 9), st.sampled_from(["min", "max"]))
def test_without_marks_the_main_metric_decides_in_its_direction(ours, theirs, direction):
    new = entry(marks={}, metric="test/rmse", direction=direction, metrics={"test/rmse": ours})
    found = decided(new, champion(metrics={"test/rmse": theirs}))
    assert found.promoted == (ours > theirs if direction == "max" else ours < theirs)


def test_a_mark_determines_metric_and_direction_whatever_the_task_declares():
    marks = {"test/loss": "<= 2", "test/accuracy": ">= 0.1"}
    new = entry(marks=marks, metric="test/accuracy", metrics={"test/accuracy": 0.5, "test/loss": 0.4})
    assert new.objective == ("test/loss", "min")
    assert decided(new, champion(metrics={"test/accuracy": 0.9, "test/loss": 0.5})).promoted


def test_on_new_data_the_champion_is_measured_there_and_its_own_figure_does_not_count():
    found = decided(entry(0.9), champion(0.99, dataset_version="v0"), lambda: {"test/accuracy": 0.88})
    assert found.promoted
    assert (found.value, found.champion_value, found.dataset) == (0.9, 0.88, "digits/v1")
    assert found.why == (
        "test/accuracy is 0.9 against 0.88 of version 3 (measured again) on the test split of digits/v1"
    )
    assert not decided(entry(0.9), champion(0.5, dataset_version="v0"), lambda: {"test/accuracy": 0.92}).promoted


@pytest.mark.fault
@pytest.mark.parametrize(
    ("error", "why"),
    [
        (BadData.at("column 'a'", "the version has none"), "the version has none"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "RuntimeError: mat1 and mat2"),
    ],
)
def test_a_champion_that_cannot_be_measured_on_new_data_stays_with_the_reason(error, why):
    def failing():
        raise error

    found = decided(entry(0.99), champion(0.1, dataset_version="v0"), failing)
    assert not found.promoted
    assert found.why.startswith("version 3 stays: it cannot be measured on digits/v1: ")
    assert why in found.why


@pytest.mark.fault
def test_a_store_that_does_not_answer_decides_nothing():
    def failing():
        raise StoreError.at("http://host", "no tracking server answers")

    with pytest.raises(StoreError):
        decided(entry(0.99), champion(0.1, dataset_version="v0"), failing)

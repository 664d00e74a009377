import pytest

from millstream.tracking.dataset.class_balance import Plan, plans
from millstream.tracking.dataset.records import Step
from tests.training.signatures import manifest, number, target


def step(**fields):
    learned = Plan(column="label", **fields).model_dump(mode="json") if fields else {}
    return Step(name="rebalance", version=3, config={}, learned=learned, rows_in=0, rows_out=0, seconds=0)


def shares(*steps, column="label"):
    made = manifest(number("a"), target(2)).model_copy(update={"steps": steps})
    return made.signature(*([column] if column else [])).shares


MADE = {"before": {"class 0": 90, "class 1": 10}, "after": {"class 0": 90, "class 1": 30}}


def test_shares_are_those_of_the_rows_before_and_after():
    found = shares(step(method="smote", **MADE))
    assert found.given == pytest.approx((0.9, 0.1))
    assert found.trained == pytest.approx((0.75, 0.25))


def test_weights_count_as_rows():
    rows = {"class 0": 90, "class 1": 10}
    found = shares(step(method="weights", before=rows, after=rows, weights={"class 0": 0.5, "class 1": 4.5}))
    assert found.trained == pytest.approx((0.5, 0.5))


def test_of_two_steps_the_first_records_what_came_and_the_last_what_was_learned_from():
    again = {"before": MADE["after"], "after": {"class 0": 30, "class 1": 30}}
    found = shares(step(method="smote", **MADE), step(method="undersample", **again))
    assert (found.given, found.trained) == (pytest.approx((0.9, 0.1)), pytest.approx((0.5, 0.5)))


def test_a_class_that_the_target_does_not_know_is_a_stranger_and_one_without_rows_is_none():
    named = {"before": {"class 0": 90, "1": 10}, "after": {"class 0": 90, "1": 90}}
    assert shares(step(method="duplicate", **named)).strangers == ("1",)
    empty = {"before": {"class 0": 90}, "after": {"class 0": 90}}
    found = shares(step(method="duplicate", **empty))
    assert (found.given, found.strangers) == ((1.0, 0.0), ())


def test_a_plan_that_was_made_before_deviations_were_kept_is_read():
    old = step(method="augment", **MADE)
    old.learned.pop("deviations")
    assert plans([old])[0].deviations is None


def test_without_a_plan_for_the_target_there_are_no_shares():
    assert shares(step()) is None
    assert shares(step(method="smote", **MADE), column=None) is None
    assert plans([step(), step(method="smote", **MADE)])[0].method == "smote"

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.steps.split import Split
from tests.pipelines.made import LABEL, NUMBER, rows_of, table
from tracking.faults import BadData

pytestmark = pytest.mark.spark


def drawn(spark, step, rows, seed=1, partitions=None, columns=(NUMBER, LABEL)):
    return step.apply(table(spark, rows, *columns, partitions=partitions), {}, seed)


def many(count):
    return [{"wind": float(at), "label": "ab"[at % 4 == 0]} for at in range(count)]


@pytest.mark.parametrize("by", ["hash", "stratified"])
def test_the_same_rows_are_drawn_whatever_the_partitions(spark, by):
    step = Split(by=by, valid=0.2, test=0.3)
    first, *others = [
        rows_of(drawn(spark, step, many(200), partitions=count), "sample_id", "split") for count in (1, 2, 7)
    ]
    assert all(other == first for other in others)


def test_shares_by_hash_are_near_what_was_asked_for(spark):
    splits = [split for (split,) in rows_of(drawn(spark, Split(by="hash", valid=0.1, test=0.2), many(3000)), "split")]
    # 3 standard deviations of a binomial of 3000
    assert splits.count("test") == pytest.approx(600, abs=3 * (3000 * 0.2 * 0.8) ** 0.5)
    assert splits.count("valid") == pytest.approx(300, abs=3 * (3000 * 0.1 * 0.9) ** 0.5)


def test_another_seed_draws_other_rows(spark):
    step = Split(by="hash", test=0.5)
    assert rows_of(drawn(spark, step, many(100), seed=1), "split") != rows_of(
        drawn(spark, step, many(100), seed=2), "split"
    )


def test_rows_with_one_key_stay_together(spark):
    rows = [{"wind": float(at % 20), "label": "a"} for at in range(200)]
    found = rows_of(drawn(spark, Split(by="hash", test=0.5, key="wind"), rows), "wind", "split")
    assert all(len({split for wind, split in found if wind == value}) == 1 for value in range(20))
    assert {split for _, split in found} == {"train", "test"}


def test_strata_get_exact_shares(spark):
    found = rows_of(drawn(spark, Split(by="stratified", valid=0.1, test=0.2), many(400)), "label", "split")
    for label, count in (("a", 300), ("b", 100)):
        splits = [split for name, split in found if name == label]
        assert (splits.count("test"), splits.count("valid")) == (count // 5, count // 10)


@pytest.mark.bad_input
def test_a_class_with_too_few_rows_is_named(spark):
    rows = [*many(40), {"wind": 0.0, "label": "rare"}]
    with pytest.raises(BadData, match="'rare'"):
        drawn(spark, Split(by="stratified", valid=0.1, test=0.1), rows)


def test_given_splits_are_kept_and_valid_is_carved_from_train(spark):
    rows = [{"wind": 0.0, "label": "a", "split": "train" if at < 300 else "test"} for at in range(400)]
    splits = [split for (split,) in rows_of(drawn(spark, Split(by="given", valid=0.2), rows), "split")]
    assert splits.count("test") == 100
    assert splits.count("valid") == pytest.approx(60, abs=3 * (300 * 0.2 * 0.8) ** 0.5)


@pytest.mark.bad_input
def test_a_given_split_that_is_missing_is_refused(spark):
    with pytest.raises(BadData, match="by: hash"):
        drawn(spark, Split(by="given"), many(10))


@hypothesis_settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(valid=st.floats(0, 1), test=st.floats(0, 1))
def test_shares_that_leave_no_train_rows_are_refused_and_others_taken(valid, test):
    if valid < 1 and test < 1 and valid + test < 1:
        assert Split(by="hash", valid=valid, test=test).valid == valid
    else:
        with pytest.raises(ValidationError):
            Split(by="hash", valid=valid, test=test)

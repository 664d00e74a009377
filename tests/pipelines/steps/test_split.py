from itertools import groupby

import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from millstream.pipelines.steps.split import Split
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from tests.pipelines.made import LABEL, NUMBER, rows_of, table

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


def test_shares_by_hash_are_near_the_configured_ones(spark):
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


@pytest.mark.parametrize("count", [3, 4, 5])
def test_a_small_class_has_rows_in_every_split(spark, count):
    rows = [*many(40), *({"wind": 0.0, "label": "rare"} for _ in range(count))]
    found = rows_of(drawn(spark, Split(by="stratified", valid=0.3, test=0.5), rows), "label", "split")
    assert {split for label, split in found if label == "rare"} == {"train", "valid", "test"}


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


TIME = Column(name="time", dtype="datetime64[us]", role="key", meaning="number")
PERIODS = {
    "train": ["2020-01-01", "2020-01-11"],
    "valid": ["2020-01-13", "2020-01-15"],
    "test": ["2020-01-17", "2020-01-19"],
}


def days(spark, step, count=20, partitions=None):
    rows = pd.DataFrame({"time": pd.date_range("2020-01-01", periods=count), "wind": 1.0})
    return drawn(spark, step, rows, partitions=partitions, columns=(TIME, NUMBER))


def splits_by_day(table):
    return {split: [row.time.day for row in rows] for split, rows in groupby(ordered(table), key=lambda row: row.split)}


def ordered(table):
    return table.frame.orderBy("time").select("time", "split").collect()


def test_periods_take_rows_from_their_first_time_to_before_their_second_and_leave_the_rest(spark):
    found = splits_by_day(days(spark, Split(by="time", time="time", periods=PERIODS, gap=2)))
    assert found == {"train": list(range(1, 11)), "valid": [13, 14], "test": [17, 18]}


def test_shares_of_time_put_the_latest_rows_into_test_with_a_gap_between(spark):
    found = splits_by_day(days(spark, Split(by="time", time="time", valid=0.2, test=0.25)))
    assert found == {"train": list(range(1, 12)), "valid": [12, 13, 14, 15], "test": [16, 17, 18, 19, 20]}
    apart = splits_by_day(days(spark, Split(by="time", time="time", test=0.25, gap=3), partitions=7))
    assert apart == {"train": list(range(1, 13)), "test": [16, 17, 18, 19, 20]}


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gap": 5}, "less than the gap"),
        ({"periods": {**PERIODS, "valid": ["2020-01-05", "2020-01-15"]}}, "none overlap"),
        ({"periods": {**PERIODS, "test": PERIODS["train"]}}, "none overlap"),
        ({"periods": {"test": PERIODS["test"]}}, "one for train"),
        ({"test": 0.1}, "in place of the shares"),
        ({"time": None}, "the column that"),
        ({"periods": {"train": ["yesterday", "2020-01-11"]}}, "yesterday"),
    ],
)
def test_periods_out_of_order_are_refused_from_the_recipe(change, message):
    with pytest.raises(ValidationError, match=message):
        Split(**{"by": "time", "time": "time", "periods": PERIODS, **change})


def test_times_may_be_iso_texts_and_an_order_may_be_a_number(spark):
    rows = [{"label": f"2020-01-{day:02d}T00:00:00", "wind": float(day)} for day in range(1, 21)]
    for column in ("label", "wind"):
        made = drawn(spark, Split(by="time", time=column, test=0.25), rows)
        assert [split for (split,) in made.frame.orderBy("wind").select("split").collect()] == ["train"] * 15 + [
            "test"
        ] * 5


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("column", "message"), [("wind", "holds numbers"), ("label", "no ISO time"), ("when", "no column")]
)
def test_a_split_by_time_needs_times(spark, column, message):
    with pytest.raises(BadData, match=message):
        drawn(spark, Split(by="time", time=column, periods=PERIODS), many(9))


def test_shares_by_time_go_by_fractions_too(spark):
    rows = [{"wind": (at + 1) / 100, "label": "a"} for at in range(100)]
    found = rows_of(drawn(spark, Split(by="time", time="wind", valid=0.15, test=0.15), rows), "wind", "split")
    splits = [split for _, split in sorted(found)]
    assert splits == ["train"] * 70 + ["valid"] * 15 + ["test"] * 15


@pytest.mark.bad_input
def test_rows_without_a_time_are_reported(spark):
    rows = [{"wind": None if at == 3 else float(at), "label": "a"} for at in range(40)]
    with pytest.raises(BadData, match="1 rows have no wind; put them aside before"):
        drawn(spark, Split(by="time", time="wind", test=0.2), rows).counted()


@pytest.mark.bad_input
def test_a_time_of_day_is_no_time_to_split_by(spark):
    clock = Column(name="clock", dtype="string", role="key", meaning="text")
    rows = [{"clock": f"07:{at:02d}:00"} for at in range(40)]
    with pytest.raises(BadData, match="no ISO time"):
        drawn(spark, Split(by="time", time="clock", test=0.2), rows, columns=(clock,))

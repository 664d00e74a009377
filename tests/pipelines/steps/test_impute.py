import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer

from millstream.pipelines.steps.impute import Impute
from millstream.tracking.dataset.records import Column, Step
from millstream.tracking.errors import BadData
from millstream.tracking.serving import replay
from tests.pipelines.made import CITY, NUMBER, rows_of, table
from tests.training.signatures import manifest

pytestmark = pytest.mark.spark

WINDS = [2.0, None, 9.0, 4.0, 4.0, None, 10.0]
COUNT = Column(name="count", dtype="int64", role="input", meaning="number")


def winds(spark, partitions=None):
    return table(spark, [{"wind": wind} for wind in WINDS], NUMBER, partitions=partitions)


@pytest.mark.parametrize(
    ("method", "strategy", "value"),
    [
        ("mean", "mean", None),
        ("median", "median", None),
        ("frequent", "most_frequent", None),
        ("constant", "constant", -1),
    ],
)
def test_numbers_are_filled_as_scikit_learn_fills_them(spark, method, strategy, value):
    step = Impute(columns=("wind",), method=method, value=value, indicator=True)
    made = winds(spark)
    found = rows_of(step.apply(made, step.fit(made, 0), 0), "wind", "wind_missing")
    oracle = SimpleImputer(strategy=strategy, fill_value=value, add_indicator=True)
    np.testing.assert_allclose(found, oracle.fit_transform(np.array(WINDS, float)[:, None]), rtol=1e-12)


def test_what_is_filled_in_comes_from_train_alone_and_whole_columns_get_no_indicator(spark):
    step = Impute(columns="numbers", method="mean", indicator=True)
    learned = step.fit(table(spark, [{"wind": 2.0}, {"wind": 4.0}], NUMBER), 0)
    found = step.apply(table(spark, [{"wind": None}, {"wind": 100.0}], NUMBER), learned, 0)
    assert rows_of(found, "wind") == [(3.0,), (100.0,)]
    assert [column.name for column in found.columns] == ["wind"]


def test_what_is_learned_does_not_depend_on_partitions(spark):
    for method in ("mean", "median", "frequent"):
        step = Impute(columns=("wind",), method=method)
        assert len({str(step.fit(winds(spark, partitions), 0)) for partitions in (1, 2, 5)}) == 1


def test_of_equally_frequent_cities_the_first_in_the_alphabet_is_filled_in(spark):
    rows = [{"city": city} for city in ("Wien", "Graz", None, "Graz", "Wien")]
    step, made = Impute(columns="categories", method="frequent"), table(spark, rows, CITY)
    assert [row[0] for row in rows_of(step.apply(made, step.fit(made, 0), 0), "city")] == [
        "Wien", "Graz", "Graz", "Graz", "Wien",
    ]  # fmt: skip


def test_whole_numbers_can_take_a_mean_that_is_none(spark):
    made = table(spark, [{"count": 1}, {"count": 2}, {"count": None}], COUNT)
    step = Impute(columns=("count",), method="mean")
    found = step.apply(made, step.fit(made, 0), 0)
    assert rows_of(found, "count") == [(1.0,), (2.0,), (1.5,)]
    assert found.column("count").dtype == "float64"


def test_serving_fills_as_the_step_did_and_takes_missing_values(spark):
    made = table(spark, [{"wind": w, "city": c} for w, c in zip(WINDS, "aab" + "a" * 4, strict=True)], NUMBER, CITY)
    numbers, cities = (
        Impute(columns=("wind",), method="median", indicator=True),
        Impute(columns=("city",), method="frequent"),
    )
    learned = [numbers.fit(made, 0), cities.fit(made, 0)]
    prepared = cities.apply(numbers.apply(made, learned[0], 0), learned[1], 0)
    steps = tuple(
        Step(name="impute", version=1, config={}, learned=one, rows_in=7, rows_out=7, seconds=0) for one in learned
    )
    known = manifest(*prepared.columns).model_copy(update={"steps": steps})
    assert [(one.name, one.dtype) for one in replay.raw_columns(known)] == [("wind", "float64"), ("city", "string")]
    raw = pd.DataFrame({"wind": [None, 3.5, float("nan")], "city": ["b", None, "a"]})
    served = replay.replay(raw, known)
    assert served["wind"].tolist() == [4.0, 3.5, 4.0]
    assert served["wind_missing"].tolist() == [1, 0, 1]
    assert served["city"].tolist() == ["b", "a", "a"]
    again = replay.replay(replay.restore(served, known), known)
    pd.testing.assert_frame_equal(again[served.columns], served, check_dtype=False)


@pytest.mark.bad_input
def test_a_served_text_in_a_filled_column_of_numbers_is_still_refused(spark):
    made = winds(spark)
    learned = Impute(columns=("wind",), method="mean").fit(made, 0)
    step = Step(name="impute", version=1, config={}, learned=learned, rows_in=7, rows_out=7, seconds=0)
    known = manifest(NUMBER).model_copy(update={"steps": (step,)})
    with pytest.raises(BadData, match="'calm' in row 1 is no finite number"):
        replay.replay(pd.DataFrame({"wind": [None, "calm"]}), known)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"columns": ("wnd",), "method": "mean"}, r"'wnd'.*'wind'"),
        ({"columns": ("city",), "method": "median"}, "texts have no median"),
        ({"columns": ("wind",), "method": "mean"}, "wind: no value in train"),
        ({"columns": ("city",), "method": "constant", "value": 3}, "3 does not fit its string values"),
    ],
)
def test_what_cannot_be_filled_is_refused_with_the_column(spark, fields, message):
    with pytest.raises(BadData, match=message):
        Impute(**fields).fit(table(spark, [{"wind": None, "city": "a"}], NUMBER, CITY), 0)


@pytest.mark.bad_input
def test_an_indicator_does_not_write_over_a_column(spark):
    there = NUMBER.model_copy(update={"name": "wind_missing"})
    rows = table(spark, [{"wind": 1.0, "wind_missing": 7.0}, {"wind": None, "wind_missing": 8.0}], NUMBER, there)
    step = Impute(columns=("wind",), method="mean", indicator=True)
    with pytest.raises(BadData, match="there is a column 'wind_missing' already"):
        step.apply(rows, step.fit(rows, 0), 0)

"""Sums that are exact, so that a category's mean follows from its rows alone, whoever adds them up."""

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.pipelines.ops.target_encoding import exact_parts, summed
from millstream.pipelines.steps.encode import Encode
from millstream.pipelines.steps.rebalance import Rebalance
from millstream.tracking.dataset.records import Column
from tests.pipelines.made import CITY, LABEL, NUMBER, table

FINITE = st.floats(-1e150, 1e150)


@given(st.lists(FINITE, max_size=40))
def test_the_parts_add_up_to_exactly_the_sum_of_all(values):
    parts = exact_parts(values)
    assert sum(map(Fraction, parts)) == sum(map(Fraction, values))


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_what_is_no_number_ends_the_parts(odd):
    assert exact_parts([1.0, odd])[0] == pytest.approx(odd, nan_ok=True)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", None]), FINITE, st.integers(1, 5)), min_size=1))
def test_counts_are_summed_by_fold_and_category(rows):
    fold, category, value, count = zip(*rows, strict=True)
    kinds = {"_fold": pa.int32(), "category": pa.string(), "value": pa.float64(), "count": pa.int64()}
    columns = zip(kinds.values(), (fold, category, value, count), strict=True)
    counts = pa.table([pa.array(values, kind) for kind, values in columns], names=list(kinds))
    found = summed(counts).to_pylist()
    assert {(one["_fold"], one["category"]) for one in found} == set(zip(fold, category, strict=True))
    assert len(found) == len(set(zip(fold, category, strict=True)))
    for one in found:
        mine = [row for row in rows if row[:2] == (one["_fold"], one["category"])]
        assert one["rows"] == sum(row[3] for row in mine)
        assert sum(map(Fraction, one["parts"])) == sum(Fraction(row[2] * row[3]) for row in mine)


@pytest.mark.spark
def test_of_a_target_without_two_equal_values_few_numbers_come_to_the_driver(spark, monkeypatch):
    price = Column(name="price", dtype="float64", role="target", meaning="number")
    draws = np.random.default_rng(4).normal(5, 2, 2_000)
    rows = [{"city": "Graz" if at % 3 else "Wien", "price": value} for at, value in enumerate(draws.tolist())]
    collected, collect = [], type(spark.range(1)).collect

    def counted(frame):
        collected.append(collect(frame))
        return collected[-1]

    monkeypatch.setattr(type(spark.range(1)), "collect", counted)
    learned = Encode(columns=("city",), method="target", target="price", smoothing=0).fit(
        table(spark, rows, CITY, price), 0
    )
    assert max(map(len, collected)) <= 2 * 5
    graz = [row["price"] for row in rows if row["city"] == "Graz"]
    assert learned["city"]["means"]["Graz"] == float(sum(map(Fraction, graz))) / len(graz)


@pytest.mark.spark
@pytest.mark.parametrize("method", [{"method": "duplicate"}, {"method": "augment", "ops": [{"noise": 0.1}]}])
def test_a_row_does_not_see_its_own_target_through_its_copies(spark, method):
    id_of_each = [{"city": f"c{at}", "wind": float(at), "label": "no" if at % 6 else "yes"} for at in range(60)]
    rows = table(spark, [one | {"split": "train"} for one in id_of_each], CITY, NUMBER, LABEL)
    for step in (Rebalance(**method), Rebalance(method="duplicate", to={"count": 120})):
        rows = step.apply(rows, step.fit(rows, 3), 3)
    step = Encode(columns=("city",), method="target", target="label", positive="yes", smoothing=0)
    fold = "pmod(xxhash64(3L, 'encode fold', coalesce(parent_id, sample_id)), 5) AS fold"
    made = step.apply(rows, step.fit(rows, 3), 3).frame.selectExpr("city", "label", fold).toPandas()
    assert len(made) == 240
    # no other fold knows the category, so that its encoding is the mean of these folds
    for at, mine in made.groupby("fold"):
        others = (made[made["fold"] != at]["label"] == "yes").mean()
        np.testing.assert_allclose(mine["city"], others, rtol=1e-6)

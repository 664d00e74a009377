import json
from collections import Counter

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from pipelines.steps.rebalance import Count, Ratio, Rebalance, class_weights
from tests.pipelines.made import LABEL, NUMBER, rows_of, table

pytestmark = pytest.mark.spark
COUNTS = {"a": 20, "b": 7, "c": 3}


def made(spark, partitions=None):
    rows = [{"wind": float(at), "label": label} for label, count in COUNTS.items() for at in range(count)]
    return table(spark, rows, NUMBER, LABEL, partitions=partitions)


def balanced(spark, partitions=None, **fields):
    step, before = Rebalance(**fields), made(spark, partitions)
    return step.apply(before, step.fit(before, 1), 1)


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("uniform", {"a": 20, "b": 20, "c": 20}),
        (Count(count=9), {"a": 20, "b": 9, "c": 9}),
        (Ratio(ratio=0.5), {"a": 20, "b": 10, "c": 10}),
    ],
)
def test_each_class_reaches_its_aim_and_none_loses_rows(spark, to, expected):
    assert Counter(label for (label,) in rows_of(balanced(spark, method="duplicate", to=to), "label")) == expected


def test_a_duplicate_equals_its_parent_and_names_it(spark):
    rows = rows_of(balanced(spark, method="duplicate"), "sample_id", "parent_id", "op", "wind", "label")
    originals = {row[0]: row[3:] for row in rows if row[1] is None}
    copies = [row for row in rows if row[1] is not None]
    assert len(originals) == 30
    assert len({row[0] for row in rows}) == len(rows)
    for sample_id, parent, op, *values in copies:
        assert tuple(values) == originals[parent]
        assert json.loads(op) == {"op": "duplicate", "copy": int(sample_id.rpartition("-")[2])}


def test_copies_are_spread_evenly_over_the_rows_of_a_class(spark):
    rows = rows_of(balanced(spark, method="duplicate"), "parent_id", "sample_id", "label")
    of_c = Counter(parent or sample for parent, sample, label in rows if label == "c")
    assert max(of_c.values()) - min(of_c.values()) <= 1


def test_the_same_rows_are_copied_whatever_the_partitions(spark):
    first, *others = [rows_of(balanced(spark, count, method="duplicate"), "sample_id") for count in (1, 2, 7)]
    assert all(other == first for other in others)


def test_weights_are_those_of_scikit_learn(spark):
    labels = [label for label, count in COUNTS.items() for _ in range(count)]
    expected = compute_class_weight("balanced", classes=np.array(list(COUNTS)), y=labels)
    found = dict(rows_of(balanced(spark, method="weights"), "label", "weight"))
    assert [found[label] for label in COUNTS] == pytest.approx(list(expected), rel=1e-6)


@pytest.mark.parametrize("power", [0.0, 0.3, 1.0])
def test_weights_have_mean_one_over_all_rows(power):
    weights = class_weights(COUNTS, power)
    assert sum(weights[label] * count for label, count in COUNTS.items()) / 30 == pytest.approx(1)


def test_none_changes_nothing(spark):
    assert rows_of(balanced(spark, method="none"), "sample_id", "label") == rows_of(made(spark), "sample_id", "label")

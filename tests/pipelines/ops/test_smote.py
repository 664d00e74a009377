"""SMOTE against imbalanced-learn: the same neighbours, and new rows on the lines to them."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTE, SMOTENC

from millstream.pipelines.ops import smote
from millstream.pipelines.steps.rebalance import Count, Rebalance
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from tests.pipelines.made import CITY, LABEL, NUMBER, rows_of, table

HEAT = NUMBER.model_copy(update={"name": "heat"})
AGE = Column(name="age", dtype="int64", role="input", meaning="number")


def made(rare=40, common=100, seed=0):
    drawn = np.random.default_rng(seed)
    count = rare + common
    return pd.DataFrame(
        {
            "sample_id": [f"s{at:03d}" for at in range(count)],
            "wind": drawn.normal(size=count),
            "heat": drawn.normal(size=count) * 3,
            "age": drawn.integers(18, 90, count),
            "city": drawn.choice(["Graz", "Bonn", "Oslo"], count, p=[0.6, 0.3, 0.1]),
            "label": ["rare"] * rare + ["common"] * common,
        }
    )


def neighbours(rows, columns):
    found = smote.with_neighbours(rows, columns, 5)
    return [[json.loads(one)["sample_id"] for one in near] for near in found["_near"]]


def test_neighbours_are_those_of_imbalanced_learn():
    rows = made()
    oracle = SMOTE(k_neighbors=5)
    oracle.fit_resample(rows[["wind", "heat"]].to_numpy(), rows["label"])
    rare = rows[rows["label"] == "rare"]
    near = oracle.nn_k_.kneighbors(rare[["wind", "heat"]].to_numpy(), return_distance=False)[:, 1:]
    expected = [[rare["sample_id"].iloc[at] for at in one] for one in near]
    assert neighbours(rare, smote.Mixed((NUMBER, HEAT), ())) == expected


def test_neighbours_over_mixed_columns_are_those_of_imbalanced_learn():
    rows = made()
    oracle = SMOTENC(categorical_features=[2], k_neighbors=5)
    oracle.fit_resample(rows[["wind", "heat", "city"]].to_numpy(object), rows["label"])
    rare = rows[rows["label"] == "rare"]
    near = oracle.nn_k_.kneighbors(oracle.nn_k_._fit_X, return_distance=False)
    found = neighbours(rare, smote.Mixed((NUMBER, HEAT), (CITY,)))
    for at, (ours, theirs) in enumerate(zip(found, near, strict=True)):
        assert ours == [rare["sample_id"].iloc[one] for one in theirs if one != at][:5]


@pytest.fixture(scope="module")
def balanced(spark):
    step = Rebalance(method="smote")
    before = table(spark, made().to_dict("records"), NUMBER, HEAT, AGE, CITY, LABEL, partitions=3)
    learned = step.fit(before, 1)
    assert learned["after"] == {"rare": 100, "common": 100}
    return step.apply(before, learned, 1)


@pytest.mark.spark
def test_new_rows_lie_between_a_row_and_the_neighbour_that_they_name(balanced):
    names = ("sample_id", "parent_id", "op", "wind", "heat", "age", "city", "label")
    rows = {row[0]: dict(zip(names, row, strict=True)) for row in rows_of(balanced, *names)}
    new = [row for row in rows.values() if row["op"] is not None]
    assert Counter(row["label"] for row in rows.values()) == {"rare": 100, "common": 100}
    assert len(new) == 60
    for row in new:
        lineage, parent = json.loads(row["op"]), rows[row["parent_id"]]
        other = rows[lineage["neighbour"]]
        assert (lineage["op"], lineage["seed"]) == ("smote", 1)
        assert (parent["label"], other["label"]) == ("rare", "rare")
        for name in ("wind", "heat"):
            assert row[name] == pytest.approx(parent[name] + lineage["u"] * (other[name] - parent[name]), rel=1e-12)
        assert row["age"] == round(parent["age"] + lineage["u"] * (other["age"] - parent["age"]))
        assert row["city"] in ("Graz", "Bonn", "Oslo")
    share = np.array([json.loads(row["op"])["u"] for row in new])
    assert 0.35 < share.mean() < 0.65  # uniform: .5 with a deviation of .29 / sqrt(60) = .037, four of them


@pytest.mark.spark
def test_new_rows_do_not_depend_on_partitions(spark, balanced):
    names = ("sample_id", "parent_id", "op", "wind", "heat", "age", "city")
    step = Rebalance(method="smote")
    again = table(
        spark, made().sample(frac=1, random_state=3).to_dict("records"), NUMBER, HEAT, AGE, CITY, LABEL, partitions=1
    )
    assert rows_of(step.apply(again, step.fit(again, 1), 1), *names) == rows_of(balanced, *names)


@pytest.mark.spark
def test_a_class_larger_than_a_block_finds_neighbours_inside_its_blocks(spark):
    rows = made(rare=150, common=400)
    step = Rebalance(method="smote", block=100, to=Count(count=300))
    before = table(spark, rows.to_dict("records"), NUMBER, HEAT, LABEL)
    found = rows_of(step.apply(before, step.fit(before, 1), 1), "label")
    assert Counter(label for (label,) in found) == {"rare": 300, "common": 400}


def test_a_category_is_that_of_most_neighbours():
    assert smote.majority(["b", "a", "b"]) == "b"
    assert smote.majority(["b", "a"]) == "a"


@pytest.mark.spark
@pytest.mark.bad_input
def test_what_smote_cannot_mix_is_refused_by_name(spark):
    step = Rebalance(method="smote")
    rows = made(rare=5, common=9)
    rows.loc[0, "wind"] = np.nan
    holed = table(spark, rows.to_dict("records"), NUMBER, HEAT, LABEL)
    with pytest.raises(BadData, match=r"\['wind'\] miss some"):
        step.apply(holed, step.fit(holed, 1), 1)
    words = table(spark, rows.to_dict("records"), CITY, LABEL)
    with pytest.raises(BadData, match="city"):
        step.apply(words, step.fit(words, 1), 1)
    twins = table(spark, made(rare=5, common=9).to_dict("records"), NUMBER, HEAT, LABEL)
    named = Rebalance(method="smote", columns=("wind", "haet"))
    with pytest.raises(BadData, match=r"\['haet'\]: no such columns to mix; it has \['wind', 'heat', 'label'\]"):
        named.apply(twins, named.fit(twins, 1), 1)
    alone = table(spark, made(rare=1, common=9).to_dict("records"), NUMBER, LABEL)
    with pytest.raises(BadData, match=r"\['rare'\] have one row"):
        step.fit(alone, 1)

import json
from collections import Counter

import numpy as np
import pytest

from millstream.pipelines.steps.encode import Encode
from millstream.pipelines.steps.mixup import Mixup
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from tests.pipelines.made import CITY, LABEL, NUMBER, TEXT, rows_of, table

pytestmark = pytest.mark.spark
AGE = Column(name="my age", dtype="int64", role="input", meaning="number")
KEY = Column(name="who", dtype="string", role="key", meaning="text")
NAMES = ("sample_id", "parent_id", "op", "wind", "`my age`", "label", "who")


def made(spark, count=40, partitions=None):
    draw = np.random.default_rng(0)
    rows = [
        {
            "wind": None if at == 3 else draw.normal(),
            "my age": int(draw.integers(18, 90)),
            "label": "abc"[at % 3],
            "who": str(at),
        }
        for at in range(count)
    ]
    before = table(spark, rows, NUMBER, AGE, LABEL, KEY, partitions=partitions)
    step = Encode(columns=("label",), method="onehot")
    return step.apply(before, step.fit(before, 1), 1)


def mixed(spark, partitions=None, **fields):
    step, before = Mixup(**fields), made(spark, partitions=partitions)
    return rows_of(step.apply(before, step.fit(before, 1), 1), *NAMES)


def shares(content):
    return np.frombuffer(content, "<f4")


def test_every_new_row_can_be_made_again_from_its_parent_and_partner(spark):
    rows = {row[0]: row[1:] for row in mixed(spark, copies=2)}
    new = {name: row for name, row in rows.items() if row[0] is not None}
    assert (len(rows), len(new)) == (120, 80)
    for name, (parent, op, wind, age, label, who) in new.items():
        operation = json.loads(op)
        assert name == f"{parent}+mixup-{operation['copy']}"
        assert (operation["op"], operation["seed"], operation["alpha"]) == ("mixup", 1, 0.2)
        (*_, own_wind, own_age, own_label, own_who), (*_, other_wind, other_age, other_label, _) = (
            rows[parent],
            rows[operation["partner"]],
        )
        share = operation["share"]
        if None in (own_wind, other_wind):
            assert wind is None
        else:
            assert wind == pytest.approx(share * own_wind + (1 - share) * other_wind, rel=1e-12)
        assert age == round(share * own_age + (1 - share) * other_age)
        expected = share * shares(own_label) + (1 - share) * shares(other_label)
        np.testing.assert_allclose(shares(label), expected, atol=1e-7)
        assert shares(label).sum() == pytest.approx(1, abs=1e-6)
        assert who == own_who


def test_each_row_is_a_partner_once_a_copy_and_never_its_own(spark):
    operations = [(row[1], json.loads(row[2])) for row in mixed(spark, copies=3) if row[1] is not None]
    for copy in (1, 2, 3):
        pairs = [(parent, one["partner"]) for parent, one in operations if one["copy"] == copy]
        assert set(Counter(partner for _, partner in pairs).values()) == {1}
        assert all(parent != partner for parent, partner in pairs)
    assert len({(parent, one["partner"]) for parent, one in operations}) > 100


def test_shares_are_drawn_from_their_distribution(spark):
    found = [json.loads(row[2])["share"] for row in mixed(spark, copies=50, alpha=0.5) if row[2]]
    # Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)); 2,000 draws, 4 deviations of the mean
    assert np.mean(found) == pytest.approx(0.5, abs=4 * (0.125 / 2000) ** 0.5)
    assert np.var(found) == pytest.approx(0.125, rel=0.1)


def test_the_same_rows_are_mixed_whatever_the_partitions(spark):
    assert mixed(spark, 1, copies=2) == mixed(spark, 7, copies=2)


def test_a_second_step_makes_ids_of_its_own_and_records_what_was_done_before(spark):
    before = made(spark, 4)
    for _ in range(2):
        step = Mixup()
        before = step.apply(before, step.fit(before, 1), 1)
    operations = {row[0]: json.loads(row[1]) for row in rows_of(before, "sample_id", "op") if row[1]}
    assert len(operations) == 12
    assert operations["s0+mixup-1+mixup2-1"]["before"]["op"] == "mixup"


@pytest.mark.bad_input
def test_what_has_nothing_between_two_values_is_refused_by_name(spark):
    rows = table(spark, [{"city": "Graz", "text": "a", "label": "x"}] * 2, CITY, TEXT, LABEL)
    with pytest.raises(BadData, match=r"\['city', 'text', 'label'\]: nothing is between.*method: onehot"):
        Mixup().fit(rows, 1)
    with pytest.raises(BadData, match="1 train rows; two are mixed"):
        Mixup().fit(table(spark, [{"wind": 1.0}], NUMBER), 1)

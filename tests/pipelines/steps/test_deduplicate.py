import json

import pytest

from millstream.pipelines.steps.deduplicate import Deduplicate
from millstream.tracking.errors import BadData
from tests.pipelines.made import CITY, NUMBER, TEXT, rows_of, table

pytestmark = pytest.mark.spark

ROWS = [
    {"sample_id": "c", "wind": 1.0, "city": "Graz"},
    {"sample_id": "a", "wind": 1.0, "city": "Graz"},
    {"sample_id": "b", "wind": 1.0, "city": "Wien"},
    {"sample_id": "e", "wind": None, "city": "Wien"},
    {"sample_id": "d", "wind": None, "city": "Wien"},
]


@pytest.mark.parametrize("partitions", [1, 2, 5])
def test_of_equal_rows_the_smallest_id_stays_whatever_the_partitions(spark, partitions):
    found = Deduplicate(by="exact").apply(table(spark, ROWS, NUMBER, CITY, partitions=partitions), {}, 0)
    assert rows_of(found, "sample_id") == [("a",), ("b",), ("d",)]
    refused = {row.sample_id: (row.reason, json.loads(row.content)) for row in found.refused.collect()}
    assert refused["c"] == ("equal to another row", {"wind": 1.0, "city": "Graz", "equal_to": "a"})
    assert refused["e"][1]["equal_to"] == "d"
    assert found.frame.columns == table(spark, ROWS, NUMBER, CITY).frame.columns


def test_only_the_named_columns_are_compared(spark):
    found = Deduplicate(by="exact", columns=("city",)).apply(table(spark, ROWS, NUMBER, CITY), {}, 0)
    assert rows_of(found, "sample_id") == [("a",), ("b",)]


def test_of_a_chain_of_near_texts_one_stays(spark):
    texts = ["the quick brown fox jumps", "the quick brown fox jumped", "The quick brown fox jumped!", "something else"]
    step = Deduplicate(by="text", similarity=0.8)
    found = step.apply(table(spark, [{"text": text} for text in texts], TEXT), {}, 0)
    assert rows_of(found, "text") == [(texts[0],), (texts[3],)]
    assert {json.loads(row.content)["equal_to"] for row in found.refused.collect()} == {"s0"}


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("fields", "message"),
    [({"by": "exact", "columns": ("town",)}, r"'town'.*'city'"), ({"by": "image"}, r"inputs are \['wind', 'city'\]")],
)
def test_what_cannot_be_compared_is_refused_with_the_columns_there(spark, fields, message):
    with pytest.raises(BadData, match=message):
        Deduplicate(**fields).apply(table(spark, ROWS, NUMBER, CITY), {}, 0)

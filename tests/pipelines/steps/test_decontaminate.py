import pytest

from millstream.pipelines.steps.decontaminate import Decontaminate
from millstream.tracking.errors import BadData
from tests.pipelines.made import NUMBER, TEXT, rows_of, table

pytestmark = pytest.mark.spark

TEXTS = [
    ("train", "the quick brown fox jumps over the lazy dog"),
    ("train", "The quick brown fox jumps over the lazy dog"),
    ("train", "quite another story"),
    ("valid", "the quick brown fox jumps over the lazy dog!"),
    ("valid", "THE QUICK brown fox jumps over the lazy dog!"),
]


def made(spark, partitions=None):
    return table(spark, [{"split": split, "text": text} for split, text in TEXTS], TEXT, partitions=partitions)


@pytest.mark.parametrize("partitions", [1, 5])
def test_all_train_rows_nearly_equal_to_valid_rows_are_quarantined(spark, partitions):
    found = Decontaminate(then="put aside").apply(made(spark, partitions), {}, 0)
    assert rows_of(found, "sample_id") == [("s2",), ("s3",), ("s4",)]
    refused = {row.sample_id: row.reason for row in found.refused.collect()}
    assert refused == dict.fromkeys(("s0", "s1"), "nearly equal to a row of valid or test")


def test_rows_of_train_alone_are_not_looked_at(spark):
    before = made(spark)
    alone = before.replacing(before.frame.where("split = 'train'"))
    assert Decontaminate(then="refuse").apply(alone, {}, 0) is alone


@pytest.mark.bad_input
def test_a_contaminated_train_split_is_refused_where_that_is_configured(spark):
    with pytest.raises(BadData, match="2 train rows are nearly equal to one of valid or test, such as s0 to s3"):
        Decontaminate(then="refuse").apply(made(spark), {}, 0)
    with pytest.raises(BadData, match="name an image or a text"):
        Decontaminate(then="refuse").apply(table(spark, [{"wind": 1.0, "split": "train"}], NUMBER), {}, 0)

"""What Spark proves before publishing, counted again without it."""

import pytest

from millstream.pipelines.checks import split_checks
from millstream.pipelines.publish import publish
from millstream.pipelines.publish.local_store import LocalStore
from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.verification.verify import verify
from tests.pipelines.made import image, table
from tests.pipelines.published import manifest_of

NUMBERS = [Column(name=name, dtype="float64", role="input", meaning="number") for name in "ab"]
LISTS = [
    Column(name=name, dtype="int64", layout="list", shape=(3,), axes="T", role="input", meaning="tokens")
    for name in ("s", "t")
]
TEXT = Column(name="text", dtype="string", role="input", meaning="text")
PAIRS = {
    "equal": ({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 2.0}, 1),
    "zero and minus zero": ({"a": 0.0, "b": 1.0}, {"a": -0.0, "b": 1.0}, 1),
    "no numbers": ({"a": float("nan"), "b": 1.0}, {"a": float("nan"), "b": 1.0}, 1),
    "missing in another column": ({"a": None, "b": 1.0}, {"a": 1.0, "b": None}, 0),
    "lists that end elsewhere": ({"s": [1, 2], "t": []}, {"s": [1], "t": [2]}, 0),
    "a missing text and an empty one": ({"text": None}, {"text": ""}, 0),
    "equal images": ({"image": b"abcd"}, {"image": b"abcd"}, 1),
}


@pytest.mark.spark
@pytest.mark.parametrize("pair", PAIRS)
def test_spark_and_verify_find_the_same_equal_inputs(spark, tmp_path, pair):
    train, test, expected = PAIRS[pair]
    columns = [one for one in (*NUMBERS, *LISTS, TEXT, image(1, 2, 2)) if one.name in train]
    rows = [{"sample_id": "x", "split": "train", **train}, {"sample_id": "y", "split": "test", **test}]
    made = table(spark, rows, *columns)
    found = split_checks.leakage(made)
    assert {one.name: one.figures for one in found}["equal inputs in two splits"] == {"contents": expected}
    store = LocalStore(tmp_path)
    with store.staging("made", "v1") as staged:
        splits = publish.write_splits(made, staged, {"train": {None: 1}, "test": {None: 1}}, 0)
        manifest = manifest_of(splits, columns=tuple(columns)).model_copy(update={"checks": found})
        version = staged.commit(manifest)
    assert verify(Dataset.open(version, tmp_path)) == []

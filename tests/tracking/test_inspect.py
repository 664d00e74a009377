import pytest

from tests.datasets import make_dataset
from tests.training.signatures import number, target
from tracking.faults import BadData
from tracking.inspect import inspect


@pytest.fixture
def dataset(tmp_path):
    values = {"a": [0.5, 1.5, 2.5], "label": [0, 1, 1]}
    return make_dataset(tmp_path, {"train": values}, (number("a"), target(2)), shard_rows=2)


def test_what_is_in_a_dataset(dataset):
    found = inspect(dataset)
    assert (found["dataset"], found["version"]) == ("made", "v1")
    assert found["splits"]["train"]["rows"] == 3
    assert found["examples"][1]["label"] == "1 = class 1"


def test_where_a_row_stands(dataset):
    found = inspect(dataset, row="train-2")
    assert (found["sample"]["file"], found["sample"]["row"]) == ("split=train/part-00001.parquet", 0)
    assert found["sample"]["a"] == 2.5
    assert found["ancestors"] == []


@pytest.mark.bad_input
def test_an_unknown_row_is_told(dataset):
    with pytest.raises(BadData, match="no sample 'nobody'"):
        inspect(dataset, row="nobody")

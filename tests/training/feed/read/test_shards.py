from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData
from tests.datasets import describe
from tests.training.feed.made import ENGINES, feed, made, values_of


@pytest.fixture
def dataset(tmp_path):
    return made(tmp_path, 40, shard_rows=20)[0]


def rewritten(dataset, change, **options):
    """The dataset with its second shard changed, and a manifest that records it."""
    shard = dataset.shards("train")[1]
    path = dataset.folder / shard.file
    pq.write_table(change(pq.read_table(path, partitioning=None)), path, **options)
    split = dataset.manifest.splits["train"]
    shards = (split.shards[0], describe(path, dataset.folder))
    splits = {"train": split.model_copy(update={"shards": shards})}
    return Dataset(dataset.folder, dataset.manifest.model_copy(update={"splits": splits}))


def replacing(name, values):
    def change(table):
        return table.set_column(table.column_names.index(name), name, values(table.column(name)))

    return change


@pytest.mark.security
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("memory", ["cached", "streamed"])
def test_a_flipped_bit_stops_the_feed_with_the_name_of_the_file(dataset, engine, memory):
    path = dataset.folder / dataset.shards("train")[1].file
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadData, match=r"part-00001\.parquet: .*changed or damaged"):
        list(feed(dataset, engine=engine, memory=memory))


@pytest.mark.security
@pytest.mark.parametrize("engine", ENGINES)
def test_metadata_that_would_be_unpickled_is_refused(dataset, engine):
    changed = rewritten(dataset, lambda table: table.replace_schema_metadata({"dataset-toolkit.unischema.v1": "boom"}))
    with pytest.raises(BadData, match=r"part-00001\.parquet: has the metadata .*dataset-toolkit\.unischema"):
        list(feed(changed, engine=engine))


@pytest.mark.bad_input
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("image", lambda old: pa.array([b"\0" * 12] * 19 + [b"\0" * 11]), "has in row 19 11 bytes, .*takes 12"),
        ("image", lambda old: pa.array([b"\0" * 12] * 19 + [None], pa.binary()), "nulls in columns .*image"),
        ("width", lambda old: pa.array([0.5] * 19 + [None], pa.float32()), "nulls in columns .*'width': 1"),
        ("colour", lambda old: pa.array([1] * 19 + [None], pa.int64()), "nulls in columns .*'colour': 1"),
        ("colour", lambda old: pa.array([0.5] * 20), "'colour' has float64, the manifest has int64"),
        ("tokens", lambda old: pa.array([list(range(10))] * 20), "a list of 10, the manifest has at most 9"),
    ],
)
def test_rows_that_are_not_as_in_the_manifest_are_refused(dataset, engine, name, values, message):
    changed = rewritten(dataset, replacing(name, values))
    with pytest.raises(BadData, match=rf"part-00001\.parquet: .*{message}"):
        list(feed(changed, engine=engine))


@pytest.mark.bad_input
@pytest.mark.parametrize("lists", [[[1, None]] * 20, [[1]] * 19 + [None]], ids=["in a list", "instead of one"])
@pytest.mark.parametrize("engine", ENGINES)
def test_nulls_in_lists_are_refused(dataset, engine, lists):
    changed = rewritten(dataset, replacing("tokens", lambda old: pa.array(lists, pa.list_(pa.int64()))))
    with pytest.raises(BadData, match=r"part-00001\.parquet: .*'tokens' has .*null"):
        list(feed(changed, engine=engine))


def test_a_not_a_number_is_a_value_and_no_null(dataset):
    values = np.array([0.5] * 19 + [np.nan], np.float32)
    changed = rewritten(dataset, replacing("width", lambda old: pa.array(values)))
    found = np.concatenate([batch.arguments[3][batch.mask_B].numpy() for batch in feed(changed)])
    assert np.isnan(found).sum() == 1


@pytest.mark.bad_input
def test_a_missing_column_is_named(dataset):
    changed = rewritten(dataset, lambda table: table.drop_columns(["width"]))
    with pytest.raises(BadData, match=r"part-00001\.parquet: no columns \['width'\]"):
        list(feed(changed))


@pytest.mark.bad_input
def test_more_row_groups_than_in_the_manifest_are_refused(dataset):
    shard = dataset.shards("train")[1]
    changed = rewritten(dataset, lambda table: table, row_group_size=7)
    body = json.loads(changed.manifest.text())
    del body["sha256"]
    assert changed.shards("train")[1].row_groups == 3
    body["splits"]["train"]["shards"][1]["row_groups"] = shard.row_groups
    with_one_row_group = Dataset(changed.folder, Manifest.model_validate(body))
    with pytest.raises(BadData, match=r"20 rows in 3 row groups; the manifest has 20 in 1"):
        list(feed(with_one_row_group))


def test_arrow_reads_a_shard_of_several_row_groups(dataset):
    wanted = list(feed(dataset))
    changed = rewritten(dataset, lambda table: table, row_group_size=7)
    for one, other in zip(feed(changed), wanted, strict=True):
        assert all(a.equal(b) for a, b in zip(values_of(one), values_of(other), strict=True))

import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millstream.tracking.dataset.manifest import FILE
from millstream.tracking.dataset.version import Dataset, versions
from millstream.tracking.errors import BadData
from millstream.tracking.verification.content_digest import rows_digest
from millstream.tracking.verification.verify import verify
from tests.datasets import describe, make_dataset
from tests.training.signatures import number, target

COLUMNS = (number("a"), target(3))


def made(folder, rows=40):
    generator = np.random.default_rng(0)
    values = {"a": generator.normal(size=rows), "label": generator.integers(0, 3, rows)}
    return make_dataset(folder, {"train": values, "test": values}, COLUMNS, shard_rows=20)


def test_a_version_is_found_by_path_or_by_name(tmp_path):
    dataset = made(tmp_path)
    (tmp_path / "made" / "latest").symlink_to("v1")
    for where in (dataset.folder, "made", "made/v1"):
        assert Dataset.open(where, tmp_path).folder == dataset.folder
    assert [path.name for path in versions(tmp_path, "made")] == ["v1"]


@pytest.mark.security
@pytest.mark.parametrize("where", ["../made", "made/../../made", "nothing", "/nowhere/at/all", "a/b/c"])
def test_a_name_does_not_lead_out_of_the_store(tmp_path, where):
    made(tmp_path / "store")
    with pytest.raises(BadData, match="no "):
        Dataset.open(where, tmp_path / "store")


@pytest.mark.security
def test_a_link_out_of_the_store_is_no_dataset(tmp_path):
    outside = made(tmp_path / "outside")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mine").symlink_to(outside.folder.parent)
    with pytest.raises(BadData, match="no such dataset"):
        Dataset.open("mine/v1", tmp_path / "store")


def test_a_whole_version_has_no_faults(tmp_path):
    assert verify(made(tmp_path)) == []


@pytest.mark.fault
def test_every_flipped_bit_of_a_shard_is_found_before_it_is_read(tmp_path, soak):
    dataset = made(tmp_path)
    shard = dataset.shards("train")[1]
    path = dataset.folder / shard.file
    whole, generator = path.read_bytes(), random.Random(0)
    for _ in range(1000 if soak else 100):
        damaged = bytearray(whole)
        damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(BadData, match=r"part-00001\.parquet"):
            Dataset.open(dataset.folder, tmp_path).verified(shard)
    path.write_bytes(whole)
    assert Dataset.open(dataset.folder, tmp_path).verified(shard) == path


@pytest.mark.fault
@pytest.mark.parametrize("harm", ["missing", "cut", "swapped", "added"])
def test_verify_names_the_file_that_is_wrong(tmp_path, harm):
    dataset = made(tmp_path)
    first, second = (dataset.folder / shard.file for shard in dataset.shards("train"))
    expected = "part-00000.parquet"
    if harm == "missing":
        first.unlink()
    elif harm == "cut":
        first.write_bytes(first.read_bytes()[:-100])
    elif harm == "swapped":
        first.write_bytes(second.read_bytes())
    else:
        (first.parent / "part-00009.parquet").write_bytes(first.read_bytes())
        expected = "part-00009.parquet"
    assert any(expected in str(fault) for fault in verify(dataset))


@pytest.mark.security
def test_parquet_with_a_pickled_schema_of_a_toolkit_is_refused(tmp_path):
    dataset = made(tmp_path)
    path = dataset.folder / dataset.shards("train")[0].file
    table = pq.read_table(path)
    table = table.replace_schema_metadata({b"dataset-toolkit.unischema.v1": b"\x80\x04."})
    pq.write_table(table, path)
    facts = dataset.manifest.splits["train"]
    shards = (describe(path, dataset.folder), *facts.shards[1:])
    splits = dataset.manifest.splits | {"train": facts.model_copy(update={"shards": shards})}
    (dataset.folder / FILE).write_text(dataset.manifest.model_copy(update={"splits": splits}).text(), encoding="utf-8")
    found = verify(Dataset.open(dataset.folder, tmp_path))
    assert [str(fault).partition(": ")[2] for fault in found] == [
        "holds keys of petastorm's own schema, which may hide code"
    ]


def test_the_digest_names_the_content_whatever_the_order(tmp_path):
    table = pa.table({"sample_id": ["a", "b", "c"], "x": [1.0, 2.0, 2.0]})
    reordered = table.take([2, 0, 1])
    doubled = pa.concat_tables([table, table.slice(0, 1)])
    other = table.set_column(1, "x", pa.array([1.0, 2.0, 2.0000001]))
    digests = []
    for at, one in enumerate((table, reordered, doubled, other)):
        pq.write_table(one, tmp_path / f"{at}.parquet")
        digests.append(rows_digest(tmp_path / f"{at}.parquet"))
    assert digests[0] == digests[1]
    assert len({digests[0], digests[2], digests[3]}) == 3

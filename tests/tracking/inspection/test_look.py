import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millstream.tracking.dataset.manifest import File, Source
from millstream.tracking.errors import BadData
from millstream.tracking.inspection.look import ancestry, look_at
from tests.datasets import make_dataset
from tests.training.signatures import image, number, target

COLUMNS = (number("a"), target(2))
OP = '{"op": "augment", "copy": 1}'


def table(folder, **facts):
    train = {"a": [0.5, 1.5, 2.5], "label": [0, 1, 1]}
    return make_dataset(folder, {"train": train, "test": {"a": [9.0], "label": [0]}}, COLUMNS, shard_rows=2, **facts)


def source(name="table", files=("data/rows.csv",), **config):
    listed = tuple(File(name=file, sha256="0" * 64, bytes=1) for file in files)
    return Source(name=name, config=config, licence="none", origin="made in a test", files=listed)


def family(folder, **facts):
    """Two rows of a table, a copy of the first, and a copy of a row that was left out."""
    values = {
        "sample_id": ["rows.csv:2", "rows.csv:3", "rows.csv:2+augment-1", "rows.csv:9+augment-1"],
        "parent_id": [None, None, "rows.csv:2", "rows.csv:9"],
        "op": [None, None, OP, OP],
        "a": [1.0, 2.0, 1.25, 7.0],
        "label": [0, 1, 0, 1],
    }
    return make_dataset(folder, {"train": values}, COLUMNS, shard_rows=2, source=source(), **facts)


def test_what_is_in_a_dataset(tmp_path):
    found = look_at(table(tmp_path)).report()
    assert (found["dataset"], found["version"]) == ("made", "v1")
    assert found["splits"]["train"] | {"digest": "", "bytes": 0} == {
        "rows": 3,
        "class_counts": {"class 0": 1, "class 1": 2},
        "digest": "",
        "shards": 2,
        "bytes": 0,
        "read": 2,
    }
    assert {row["label"] for row in found["examples"]} == {"0 = class 0", "1 = class 1"}
    assert found["statistics"]["a"]["train"]["spread"]["mean"] == 1.5
    assert found["statistics"]["a"]["test"]["spread"]["mean"] == 9.0


def test_two_looks_see_the_same_rows_and_each_class(tmp_path):
    generator = np.random.default_rng(0)
    values = {"a": generator.normal(size=400), "label": generator.integers(0, 2, 400)}
    dataset = make_dataset(tmp_path, {"train": values}, COLUMNS, shard_rows=70)
    one, other = look_at(dataset), look_at(dataset)
    assert one.report() == other.report()
    assert {name: len(rows) for name, rows in one.examples.items()} == {"class 0": 8, "class 1": 8}
    assert all(row["label"] == int(name[-1]) for name, rows in one.examples.items() for row in rows)


def test_a_large_split_is_known_by_some_of_its_shards(tmp_path):
    dataset = make_dataset(tmp_path, {"train": {"a": np.arange(100.0), "label": [0, 1] * 50}}, COLUMNS, shard_rows=10)
    found = look_at(dataset, most_bytes=3 * dataset.shards("train")[0].bytes).report()
    assert found["splits"]["train"]["read"] < 5 < found["splits"]["train"]["shards"]
    assert found["statistics"]["a"]["train"]["rows"] == 10 * found["splits"]["train"]["read"]


def test_large_images_are_thinned_out(tmp_path):
    values = {"image": np.zeros((2, 3, 300, 500), np.uint8), "label": [0, 1]}
    dataset = make_dataset(tmp_path, {"train": values}, (image(3, 300, 500), target(2)))
    assert look_at(dataset).examples["class 0"][0]["image"].shape == (3, 75, 125)


def test_changed_rows_stand_beside_their_parents(tmp_path):
    look = look_at(family(tmp_path))
    parents = {child["sample_id"]: parent and parent["sample_id"] for parent, child in look.families}
    assert parents == {"rows.csv:2+augment-1": "rows.csv:2", "rows.csv:9+augment-1": None}
    assert not [row for rows in look.examples.values() for row in rows if row["op"]]


def test_a_row_is_followed_back_to_its_line_in_the_file(tmp_path):
    found = ancestry(family(tmp_path), "rows.csv:2+augment-1")
    assert (found["sample"]["file"], found["sample"]["row"]) == ("split=train/part-00001.parquet", 0)
    assert found["sample"]["op"] == {"op": "augment", "copy": 1}
    assert [one["a"] for one in (found["sample"], *found["ancestors"])] == [1.25, 1.0]
    assert found["source"]["place"] == {"file": "data/rows.csv", "line": 2}
    assert ancestry(family(tmp_path / "again"), "rows.csv:9+augment-1")["source"]["place"]["line"] == 9


@pytest.mark.parametrize(
    ("made", "sample_id", "place"),
    [
        (source(key="id"), "rows.csv:2", {"file": "data/rows.csv"}),
        (source(key="id", files=("a.csv", "b.csv")), "7", None),
        (source("text", files=("x/a.txt", "x/b.txt")), "b.txt:12", {"file": "x/b.txt", "line": 12}),
        (source("images", files=("pets/cats/1.png", "pets/dogs/1.png")), "dogs/1.png", {"file": "pets/dogs/1.png"}),
        (
            source("images", files=("p/a.parquet", "p/b.parquet")),
            "b.parquet:000031",
            {"file": "p/b.parquet", "row": 31},
        ),
        (source("digits", files=()), "digits/0042", None),
    ],
)
def test_an_id_names_a_place_as_far_as_it_can(tmp_path, made, sample_id, place):
    values = {"sample_id": [sample_id], "a": [1.0], "label": [0]}
    dataset = make_dataset(tmp_path, {"train": values}, COLUMNS, source=made)
    assert ancestry(dataset, sample_id)["source"]["place"] == place


@pytest.mark.bad_input
def test_an_unknown_row_is_refused(tmp_path):
    with pytest.raises(BadData, match="no sample 'nobody'"):
        ancestry(table(tmp_path), "nobody")


@pytest.mark.bad_input
def test_a_quarantined_row_is_reported_with_its_reason(tmp_path):
    dataset = table(tmp_path, quarantine={"wind is missing": 1, "age is no number": 1})
    aside = {"sample_id": ["rows.csv:4", "rows.csv:7"], "reason": ["wind is missing", "age is no number"]}
    (dataset.folder / "quarantine").mkdir()
    pq.write_table(pa.table(aside | {"content": ["{}", "{}"]}), dataset.folder / "quarantine/part-00000.parquet")
    with pytest.raises(BadData, match=r"made/v1: 'rows\.csv:7' was quarantined: age is no number"):
        ancestry(dataset, "rows.csv:7")
    with pytest.raises(BadData, match=r"no sample 'rows\.csv:9'"):
        ancestry(dataset, "rows.csv:9")
    (dataset.folder / "quarantine/part-00000.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(BadData, match=r"quarantine/part-00000\.parquet: cannot be read"):
        ancestry(dataset, "rows.csv:7")


@pytest.mark.fault
def test_a_damaged_shard_is_not_looked_at(tmp_path):
    dataset = table(tmp_path)
    shard = dataset.folder / dataset.shards("test")[0].file
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    for look in (look_at, lambda dataset: ancestry(dataset, "nobody")):
        with pytest.raises(BadData, match=r"split=test/part-00000\.parquet"):
            look(dataset)


@pytest.mark.bad_input
def test_a_row_that_is_its_own_ancestor_ends_the_search(tmp_path):
    values = {"sample_id": ["x", "y"], "parent_id": ["y", "x"], "op": [OP, "no json"], "a": [1.0, 2.0], "label": [0, 1]}
    found = ancestry(make_dataset(tmp_path, {"train": values}, COLUMNS), "x")
    assert [one["op"] for one in found["ancestors"]] == ["no json"]

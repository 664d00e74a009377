"""The facts of a manifest are counted again: hashes that are right do not make it true."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millstream.tracking.dataset.manifest import FILE, Check
from millstream.tracking.dataset.records import Column, Step
from millstream.tracking.errors import BadData
from millstream.tracking.verification import recount
from millstream.tracking.verification.verify import verify
from tests.datasets import describe, make_dataset
from tests.training.signatures import category, image, number, target, tokens

CHECKS = (
    Check(name="sample ids are unique", ok=True, figures={"doubled": 0}),
    Check(name="no sample or parent in two splits", ok=True, figures={"shared": 0}),
    Check(name="nothing synthetic outside train", ok=True, figures={"synthetic": 0}),
    Check(name="equal inputs in two splits", ok=True, figures={"contents": 1}),
)
COLUMNS = (number("a"), target(2))
TRAIN = {"a": [0.5, 1.5, 2.5], "label": [0, 1, 1]}
TEST = {"a": [2.5, 7.0], "label": [0, 1]}


def made(folder, train=TRAIN, test=TEST, columns=COLUMNS, **facts):
    return make_dataset(folder, {"train": train, "test": test}, columns, **{"shard_rows": 2, "checks": CHECKS, **facts})


def faults(dataset):
    return [str(fault) for fault in verify(dataset)]


def test_a_true_manifest_has_no_faults_and_its_progress_is_reported(tmp_path):
    messages = []
    assert verify(made(tmp_path), messages.append) == []
    assert messages[:3] == ["train: 1 of 2 shards", "train: 2 of 2 shards", "test: 1 of 1 shards"]


FAMILY = {"parent_id": [None, "train-0"], "op": [None, "{}"], "a": [2.5, 7.0], "label": [0, 1]}
LIES = {
    "an id that comes twice": ({"train": TRAIN | {"sample_id": ["x", "y", "x"]}}, "sample 'x' comes more than once"),
    "an id in two splits": ({"test": TEST | {"sample_id": ["train-0", "z"]}}, r"'shared': 1"),
    "a parent in another split": ({"test": FAMILY}, r"'shared': 1"),
    "a changed row in test": ({"test": FAMILY}, r"'synthetic': 1"),
    "equal inputs that were not counted": (
        {"checks": (*CHECKS[:3], CHECKS[3].model_copy(update={"figures": {"contents": 9}}))},
        r"'contents': 1\}; the manifest has \{'contents': 9\}",
    ),
    "a check that failed": ({"checks": (CHECKS[0].model_copy(update={"ok": False}),)}, "not ok"),
    "quarantined rows that are not there": ({"quarantine": {"is empty": 3}}, "0 rows quarantined because 'is empty'"),
}


@pytest.mark.bad_input
@pytest.mark.parametrize("lie", LIES)
def test_a_manifest_that_lies_is_found_out(tmp_path, lie):
    facts, expected = LIES[lie]
    dataset = made(tmp_path, **facts)
    found = faults(dataset)
    assert any(re.search(expected, one) for one in found), found


MADE = {
    "sample_id": ["a", "b", "c", "b+smote-1", "b+smote-1+mixup-1"],
    "parent_id": [None, None, None, "b", "b"],
    "op": [
        None,
        None,
        None,
        '{"op": "smote", "copy": 1, "neighbour": "\\u0061", "u": 0.5}',
        '{"op": "mixup", "partner": "c", "before": {"op": "smote", "neighbour": "gone", "note": ["partner"]}}',
    ],
    "a": [0.5, 1.5, 2.5, 3.5, 4.5],
    "label": [0, 1, 1, 1, 1],
}
PARENTS = Check(
    name="what is synthetic was made from train", ok=True, figures={"train": 3, "elsewhere": 0, "left out since": 1}
)


def made_of(op):
    """MADE with another op in its last row."""
    return MADE | {"op": [*MADE["op"][:-1], op]}


def test_the_rows_that_others_were_made_of_are_counted_again(tmp_path):
    assert faults(made(tmp_path, train=MADE, checks=(*CHECKS, PARENTS))) == []


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("train", "figures", "expected"),
    [
        (MADE, {"train": 1}, r"'train': 3, 'elsewhere': 0, 'left out since': 1\}; the manifest has \{'train': 1"),
        (made_of('{"op": "mixup", "partner": "test-1"}'), {}, "'train': 2, 'elsewhere': 1, 'left out since': 0"),
        (made_of('{"op": "x", "before": {"neighbour": "test-0"}}'), {}, "'elsewhere': 1"),
    ],
)
def test_what_made_rows_are_made_of_is_not_taken_on_trust(tmp_path, train, figures, expected):
    check = PARENTS.model_copy(update={"figures": PARENTS.figures | figures})
    found = faults(made(tmp_path, train=train, checks=(*CHECKS, check)))
    assert any(re.search(expected, one) for one in found), found


TIME = Column(name="when", dtype="datetime64[us]", role="key", meaning="number")
GROUP = Column(name="who", dtype="string", role="key", meaning="category")
DAYS = {"train": ["2020-01-01", "2020-01-03T12:00:00.000001", "2020-01-02"], "test": ["2020-01-05", "2020-01-09"]}
ENDS = {
    "time": "when",
    "train": ["2020-01-01T00:00:00+00:00", "2020-01-03T12:00:00.000001+00:00"],
    "test": ["2020-01-05T00:00:00+00:00", "2020-01-09T00:00:00+00:00"],
    "gap asked": "1 days",
    "least gap": "1.5 days",
}
WHO = {"train": ["a", "b", "a"], "test": ["c", None]}
HASHED = {"key": "who", "groups": 4, "shared": 0}


def split_by(folder, days=DAYS, who=WHO, ends=ENDS, groups=HASHED, steps=("split",), **more):
    found = (
        Check(name="splits follow each other in time", ok=True, figures=ends),
        Check(name="no group in two splits", ok=True, figures=groups),
    )
    done = [Step(name=name, version=1, config=more, learned={}, rows_in=5, rows_out=5, seconds=0.0) for name in steps]
    rows = {
        split: {"a": [float(at) for at in range(len(days[split]))], "when": days[split], "who": who[split]}
        for split in DAYS
    }
    return make_dataset(folder, rows, (number("a"), TIME, GROUP), shard_rows=2, checks=found, steps=tuple(done))


def test_the_order_in_time_and_the_groups_of_a_split_are_looked_at_again(tmp_path):
    assert faults(split_by(tmp_path)) == []


LATE = DAYS | {"train": ["2020-01-01", "2020-01-04T12:00", "2020-01-02"]}
CROSSED = WHO | {"test": ["b", None]}


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"days": LATE}, ["train goes from 2020-01-01T00:00:00.00:00 to 2020-01-04T12", "test begins before train"]),
        ({"ends": ENDS | {"gap asked": "2 days"}}, ["test begins before train has ended, or nearer than the gap"]),
        ({"ends": ENDS | {"test": "2020"}}, ["has no first and last time of each split"]),
        ({"who": CROSSED}, ["3 groups, 1 of them in two splits"]),
        ({"groups": HASHED | {"groups": 3}}, ["4 groups, 0 of them in two splits"]),
    ],
)
def test_an_invalid_split_is_reported(tmp_path, facts, expected):
    found = faults(split_by(tmp_path, **facts))
    assert len(found) == len(expected)
    for one, wanted in zip(found, expected, strict=True):
        assert re.search(wanted, one)


def test_a_column_that_a_later_step_has_named_shows_nothing_of_the_split(tmp_path):
    steps = {"steps": ("split", "window"), "time": "when", "columns": ["who"]}
    assert faults(split_by(tmp_path, days=LATE, who=CROSSED, **steps)) == []


def changed(dataset, folder, **splits):
    """The version with another manifest, right in itself: facts of splits are changed."""
    before = dataset.manifest
    new = {name: facts.model_copy(update=splits.get(name, {})) for name, facts in before.splits.items()}
    (dataset.folder / FILE).write_text(before.model_copy(update={"splits": new}).text(), encoding="utf-8")
    return type(dataset).open(dataset.folder, folder)


def test_a_large_version_is_looked_at_by_several_processes(tmp_path, monkeypatch):
    dataset = made(tmp_path, train=TRAIN | {"sample_id": ["x", "y", "x"]})
    by_threads = faults(dataset)
    monkeypatch.setattr("millstream.tracking.verification.verify._MANY_ROWS", 0)
    assert faults(dataset) == by_threads != []


@pytest.mark.bad_input
def test_counts_of_rows_and_classes_are_those_of_the_files(tmp_path):
    dataset = changed(made(tmp_path), tmp_path, train={"rows": 4, "class_counts": {"class 0": 2, "class 1": 2}})
    assert [one.partition("split=")[2] for one in faults(dataset)] == [
        "train: 3 rows in its shards; the manifest has 4",
        "train: rows of each class, counted and in the manifest: {'class 0': (1, 2)}",
    ]


@pytest.mark.bad_input
def test_another_digest_or_other_row_groups_are_reported(tmp_path):
    dataset = made(tmp_path)
    first, *rest = dataset.shards("train")
    shards = (first.model_copy(update={"row_groups": 2}), *rest)
    assert (
        "2 rows in 1 row groups; the manifest has 2 in 2"
        in faults(changed(dataset, tmp_path, train={"shards": shards}))[0]
    )
    assert "the digest of its rows is" in faults(changed(dataset, tmp_path, test={"digest": "0" * 32}))[0]


VECTOR = Column(name="v", dtype="float32", layout="tensor", shape=(2,), axes="K", role="input", meaning="vector")
MISFITS = {
    "a class that is none": (category("c", 2), [0, 2], "column 'c': no class in 1 rows"),
    "a token of no vocabulary": (tokens(3, 3), [[2], [3, 3]], "column 'tokens': no token of the vocabulary in 2 rows"),
    "a list that is too long": (tokens(1, 3), [[2], [2, 2]], "column 'tokens': longer than 1 in 1 rows"),
    "a tensor of another size": (VECTOR, [np.zeros(2), np.zeros(3)], "column 'v': other than 8 bytes in 1 rows"),
}


@pytest.mark.bad_input
@pytest.mark.parametrize("case", MISFITS)
def test_values_that_are_not_as_their_column_declares_are_counted(tmp_path, case):
    column, values, expected = MISFITS[case]
    (found,) = faults(make_dataset(tmp_path, {"train": {column.name: values}}, (column,)))
    assert found.endswith(f"split=train/part-00000.parquet: {expected}")


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ((number("b"), target(2)), r"has the columns \[.*'a'.*\]; the manifest has \[.*'b'"),
        (
            (number("a").model_copy(update={"dtype": "int64"}), target(2)),
            "column 'a' holds float; the manifest has int64",
        ),
    ],
)
def test_shards_with_other_columns_are_reported(tmp_path, columns, expected):
    dataset = made(tmp_path)
    manifest = dataset.manifest.model_copy(update={"columns": columns})
    (dataset.folder / FILE).write_text(manifest.text(), encoding="utf-8")
    found = faults(type(dataset).open(dataset.folder, tmp_path))
    assert re.search(expected, found[0])


def with_quarantine(folder, *reasons, **facts):
    """The version with rows quarantined for these reasons."""
    path = folder / "made" / "v1" / "quarantine" / "part-00000.parquet"
    path.parent.mkdir(parents=True)
    ids = [f"aside-{at}" for at in range(len(reasons))]
    pq.write_table(pa.table({"sample_id": ids, "reason": list(reasons), "content": ["{}"] * len(ids)}), path)
    counts = {reason: reasons.count(reason) for reason in reasons}
    return made(folder, quarantine=counts, put_aside=(describe(path, folder / "made" / "v1"),), **facts), path


@pytest.mark.bad_input
def test_a_quarantined_row_whose_content_was_changed_is_found_by_the_hash(tmp_path):
    dataset, path = with_quarantine(tmp_path, "is empty", "is empty")
    assert faults(dataset) == []
    rows = pq.read_table(path)
    pq.write_table(rows.set_column(2, "content", pa.array(["forged", "{}"])), path)
    (found,) = faults(type(dataset).open(dataset.folder, tmp_path))
    assert "quarantine/part-00000.parquet" in found
    assert "the manifest has" in found
    path.unlink()
    (found,) = faults(type(dataset).open(dataset.folder, tmp_path))
    assert "cannot be read" in found


@pytest.mark.bad_input
def test_a_second_file_of_quarantined_rows_is_a_stranger(tmp_path):
    dataset, path = with_quarantine(tmp_path, "is empty")
    path.with_name("part-00001.parquet").write_bytes(path.read_bytes())
    assert any("part-00001.parquet: is not in the manifest" in one for one in faults(dataset))


def test_rows_quarantined_before_there_were_hashes_are_counted_as_before(tmp_path):
    dataset, _ = with_quarantine(tmp_path, "is empty")
    manifest = dataset.manifest.model_copy(update={"put_aside": ()})
    assert "put_aside" not in manifest.text()
    (dataset.folder / FILE).write_text(manifest.text(), encoding="utf-8")
    assert faults(type(dataset).open(dataset.folder, tmp_path)) == []


@pytest.mark.security
def test_quarantined_rows_are_read_from_their_folder_alone(tmp_path):
    dataset, _ = with_quarantine(tmp_path, "is empty")
    odd = dataset.manifest.put_aside[0].model_copy(update={"file": "quarantine/../../../secret.parquet"})
    (dataset.folder / FILE).write_text(dataset.manifest.model_copy(update={"put_aside": (odd,)}).text())
    with pytest.raises(BadData, match="is no file of quarantined rows"):
        type(dataset).open(dataset.folder, tmp_path)


@pytest.mark.bad_input
def test_files_that_nobody_knows_are_named_hidden_ones_too(tmp_path):
    dataset = made(tmp_path)
    (dataset.folder / "quarantine").mkdir()
    for name in ("split=train/.part-00000.parquet.crc", "quarantine/part-00000.parquet", "README.txt"):
        (dataset.folder / name).write_text("")
    found = [one.partition(": is not in the manifest")[0].rpartition("v1/")[2] for one in faults(dataset)]
    assert found[-3:] == ["README.txt", "quarantine/part-00000.parquet", "split=train/.part-00000.parquet.crc"]


def test_no_more_than_a_part_of_the_hashes_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(recount, "PART_ROWS", 100)
    rows = 1000
    ids = [f"s{at}" for at in range(rows - 1)] + ["s7"]
    values = {"sample_id": ids, "image": np.arange(rows * 4, dtype=np.uint8).reshape(rows, 1, 2, 2)}
    dataset = make_dataset(tmp_path, {"train": values}, (image(1, 2, 2),), shard_rows=90)
    held, load = [], np.fromfile
    monkeypatch.setattr(recount.np, "fromfile", lambda *given: held.append(load(*given)) or held[-1])
    assert faults(dataset)[0] == "made/v1: sample 's7' comes more than once"
    assert len(held) == 3 * 11
    assert max(map(len, held)) < 200
    assert sum(map(len, held)) == 3 * rows

"""Rows of JSON have the types of the model's columns, or are refused with row, column and value."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from millstream.tracking.dataset.records import Column
from millstream.training.serving.rows import MOST_SHOWN, WrongRows, frame_of

COLUMNS = (
    Column(name="age", dtype="int32", role="input", meaning="number"),
    Column(name="spent", dtype="float64", role="input", meaning="number"),
    Column(name="town", dtype="string", role="input", meaning="category"),
    Column(name="is_new", dtype="bool", role="input", meaning="category"),
    Column(name="at", dtype="datetime64[us]", role="input", meaning="number"),
    Column(name="image", dtype="uint8", layout="tensor", shape=(2, 2), role="input", meaning="image"),
    Column(name="wave", dtype="float32", layout="tensor", shape=(2,), role="input", meaning="series"),
    Column(name="tokens", dtype="int64", layout="list", role="input", meaning="tokens", vocabulary=("", "?", "a")),
)
GOOD = {
    "age": 42,
    "spent": 1.5,
    "town": "Graz",
    "is_new": False,
    "at": "2024-05-31T12:30:00",
    "image": [[0, 1], [2, 255]],
    "wave": [0.5, -1],
    "tokens": [2, 1],
}
WRONG = {
    "age": ["42", 1.5, True, None, 3_000_000_000, -(2**40), 10**400, [1], 1e300],
    "spent": ["1.5", True, None, 10**400, 2**53 + 1, [], {}],
    "town": [1, None, False, ["Graz"]],
    "is_new": ["false", 0, 1, None, "True"],
    "at": ["yesterday", 20240531, None, "2024-02-30T00:00:00"],
    "image": [[[0, 1], [2, 256]], [[0, 1], [2, -1]], [[0, 1], [2, 1.5]], [[0, 1], [2]], [0, 1, 2], "AAA", "AA==", None,
              [[0, 1], [2, True]], [[0, 1], [2, "3"]], [["0", "1"], ["2", "3"]], [[0, 1], [2, 2**70]]],
    "wave": [[0.5], [0.5, None], [1e39, 0], base64.b64encode(np.array([1, np.nan], "<f4").tobytes()).decode()],
    "tokens": [[3], [-1], [1.5], "a", None, [True], [[1]]],
}  # fmt: skip


def test_values_of_the_right_types_are_read_unchanged():
    frame = frame_of([GOOD, {**GOOD, "age": 3.0, "spent": -2, "image": [0, 1, 2, 3]}], COLUMNS)
    assert frame["age"].tolist() == [42, 3]
    assert frame["spent"].tolist() == [1.5, -2.0]
    assert frame["at"].astype(str).tolist() == ["2024-05-31 12:30:00"] * 2
    assert frame["image"].tolist() == [bytes([0, 1, 2, 255]), bytes([0, 1, 2, 3])]
    assert frame["wave"][0] == np.array([0.5, -1], "<f4").tobytes()
    assert [str(kind) for kind in frame.dtypes[:2]] == ["int64", "float64"]
    assert frame["tokens"][0] == [2, 1]


def test_bytes_in_base64_are_the_bytes_of_the_numbers():
    for name in ("image", "wave"):
        value = frame_of([GOOD], COLUMNS)[name][0]
        again = frame_of([{**GOOD, name: base64.b64encode(value).decode()}], COLUMNS)
        assert again[name][0] == value


def test_times_with_a_zone_are_times_in_utc():
    frame = frame_of([{**GOOD, "at": "2024-05-31T12:30:00+02:00"}], COLUMNS)
    assert str(frame["at"][0]) == "2024-05-31 10:30:00"


@pytest.mark.bad_input
@pytest.mark.parametrize("name", WRONG)
def test_a_value_of_another_type_is_refused_with_its_place(name):
    for value in json.loads(json.dumps(WRONG[name])):
        with pytest.raises(WrongRows) as refused:
            frame_of([GOOD, {**GOOD, name: value}], COLUMNS)
        wrong = refused.value.wrong
        assert [(one.row, one.column) for one in wrong] == [(1, name)], value
        assert wrong[0].expected


@pytest.mark.bad_input
def test_values_that_are_missing_are_null_where_the_model_allows_it_and_refused_elsewhere():
    names = [column.name for column in COLUMNS]
    less = {name: value for name, value in GOOD.items() if name not in ("age", "town", "spent")}
    frame = frame_of([less, GOOD], COLUMNS, optional={"age", "town", "spent"})
    assert list(frame) == names
    assert frame[["age", "town", "spent"]].isna().to_numpy().tolist() == [[True] * 3, [False] * 3]
    assert str(frame["age"].dtype) == "Int64"
    with pytest.raises(WrongRows) as refused:
        frame_of([less], COLUMNS, optional={"town"})
    assert {(one.column, one.value) for one in refused.value.wrong} == {("age", "missing"), ("spent", "missing")}


@pytest.mark.bad_input
def test_a_name_that_is_no_column_is_refused_with_the_nearest():
    with pytest.raises(WrongRows) as refused:
        frame_of([{**GOOD, "twon": "Graz"}], COLUMNS)
    assert "'town'" in refused.value.wrong[0].expected


@pytest.mark.bad_input
def test_many_wrong_values_are_counted_and_the_first_listed():
    with pytest.raises(WrongRows) as refused:
        frame_of([{**GOOD, "age": "x" * 10_000}] * 100, COLUMNS)
    assert (refused.value.count, len(refused.value.wrong)) == (100, MOST_SHOWN)
    assert all(len(one.value) <= 60 for one in refused.value.wrong)

"""Hashes are equal for equal values, whatever stands around them, and differ for different ones."""

import math
import struct

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from millstream.tracking.verification import row_hashes
from tests.forkserver import python

BYTES = st.lists(st.one_of(st.none(), st.binary(max_size=40)), min_size=1, max_size=30)
LISTS = st.lists(st.one_of(st.none(), st.lists(st.integers(-3, 3), max_size=6)), min_size=1, max_size=30)
NUMBERS = st.lists(st.one_of(st.none(), st.floats(width=32)), min_size=1, max_size=30)


def of(values, kind):
    return row_hashes.of_values(pa.array(values, kind)).tolist()


def same_as(values):
    """What of a value its hash may depend on."""
    if not isinstance(values, float):
        return values
    return "nan" if math.isnan(values) else struct.pack("<d", values + 0.0)


def check(values, kind):
    known = {}
    for value, hashed in zip(values, of(values, kind), strict=True):
        key = tuple(value) if isinstance(value, list) else same_as(value)
        assert known.setdefault(key, hashed) == hashed
        assert of([value], kind) == [hashed], "a hash follows from its value alone"
    assert len(set(known.values())) == len(known), "different values, one hash"
    at = len(values) // 2
    assert row_hashes.of_values(pa.array(values, kind).slice(at)).tolist() == of(values[at:], kind)


@given(BYTES)
def test_binaries(values):
    check(values, pa.binary())


@given(LISTS)
def test_lists(values):
    check(values, pa.list_(pa.int64()))


@given(NUMBERS)
def test_floats_with_zeros_of_both_signs(values):
    check(values, pa.float32())


def test_near_values_are_distinguished():
    texts = [f"train/{at:05d}" for at in range(20_000)]
    close = [b"", b"\0", b"\0" * 8, b"\0" * 9, b"a", b"a\0", b"a" * 8 + b"b" * 8, b"b" * 8 + b"a" * 8]
    assert len(set(of(texts, pa.string()))) == len(texts)
    assert len(set(of(close, pa.binary()))) == len(close)
    images = np.zeros((785, 784), np.uint8)
    images[np.arange(784), np.arange(784)] = 1
    assert len(set(of([one.tobytes() for one in images], pa.binary()))) == 785


def test_rows_with_their_values_in_other_columns_differ():
    piece = pa.RecordBatch.from_pydict({"a": [0.0, 1.0, 1.0], "b": [1.0, 0.0, 1.0], "c": ["x", "x", "x"]})
    assert len(set(row_hashes.of_rows(piece, ["a", "b", "c"]).tolist())) == 3


def test_another_process_finds_the_same():
    script = """
import pyarrow as pa
from millstream.tracking.verification.row_hashes import of_values
print(of_values(pa.array(["a", "bc"])))
"""
    found, _ = python("-c", script).communicate()
    assert found.strip() == str(row_hashes.of_values(pa.array(["a", "bc"])))

"""The fast digest against the encoding of its definition, row by row."""

import hashlib
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.tracking.verification.content_digest import MODULUS, batches_digest, hexadecimal, rows_digest

FORMS = {"int16": "<h", "int32": "<i", "int64": "<q", "float": "<f", "double": "<d", "uint8": "<B"}


def encoded(value, kind):
    """A value by the definition: written once more, for single values, without numpy and Arrow's buffers."""
    if value is None:
        return b"\0"
    if pa.types.is_list(kind):
        form = FORMS[str(kind.value_type)]
        content = b"".join(struct.pack(form, float("nan") if one is None else one) for one in value)
    elif pa.types.is_string(kind):
        content = value.encode()
    elif pa.types.is_binary(kind):
        content = value
    elif pa.types.is_boolean(kind):
        return b"\1" + (b"\1" if value else b"\0")
    elif pa.types.is_timestamp(kind):
        return b"\1" + struct.pack("<q", value)
    else:
        return b"\1" + struct.pack(FORMS[str(kind)], value)
    return b"\1" + struct.pack("<Q", len(content)) + content


def slow_digest(table):
    columns = {}
    for name in table.column_names:
        kind = table.schema.field(name).type
        column = table.column(name)
        values = (column.cast(pa.int64()) if pa.types.is_timestamp(kind) else column).to_pylist()
        columns[name] = [encoded(value, kind) for value in values]
    total = 0
    for row in range(table.num_rows):
        content = b"".join(columns[name][row] for name in sorted(columns))
        total += int.from_bytes(hashlib.blake2b(content, digest_size=16).digest(), "little")
    return total % MODULUS


def values_of(kind):
    if pa.types.is_list(kind):
        return st.lists(values_of(kind.value_type), max_size=4)
    if pa.types.is_integer(kind) or pa.types.is_timestamp(kind):
        limits = np.iinfo("int64" if pa.types.is_timestamp(kind) else str(kind))
        return st.integers(int(limits.min), int(limits.max))
    if pa.types.is_floating(kind):
        return st.floats(width=32, allow_nan=False)
    if pa.types.is_boolean(kind):
        return st.booleans()
    return st.text(max_size=5) if pa.types.is_string(kind) else st.binary(max_size=5)


KINDS = [
    pa.int16(),
    pa.int32(),
    pa.int64(),
    pa.uint8(),
    pa.float32(),
    pa.float64(),
    pa.bool_(),
    pa.timestamp("us", "UTC"),
    pa.string(),
    pa.binary(),
    pa.list_(pa.int64()),
    pa.list_(pa.float32()),
]


@st.composite
def tables(draw):
    """One to five columns of any kinds: whole, with nulls, all null, or all of one width."""
    rows = draw(st.integers(1, 12))
    columns = {}
    for name in draw(st.lists(st.sampled_from("zyxab"), min_size=1, max_size=5, unique=True)):
        kind = draw(st.sampled_from(KINDS))
        one = values_of(kind)
        one = draw(st.sampled_from([one, st.none() | one, st.none(), st.just(draw(one))]))
        columns[name] = pa.array([draw(one) for _ in range(rows)], kind)
    return pa.table(columns)


@given(table=tables(), data=st.data())
def test_the_digest_is_the_sum_of_row_hashes_of_the_written_definition(table, data):
    expected = slow_digest(table)
    assert batches_digest(table.to_batches()) == expected
    pieces = table.to_batches(max_chunksize=data.draw(st.integers(1, table.num_rows)))
    assert batches_digest(pieces) == expected
    start = data.draw(st.integers(0, table.num_rows - 1))
    part = table.slice(start)
    assert batches_digest(part.to_batches()) == slow_digest(part)


def test_a_file_has_the_digest_of_its_rows(tmp_path):
    table = pa.table({"sample_id": ["a", "bb"], "x": [1.5, None], "list": [[1, 2], None], "image": [b"12", b"34"]})
    pq.write_table(table, tmp_path / "some.parquet")
    assert rows_digest(tmp_path / "some.parquet") == slow_digest(table)
    # as it was published before: what names existing versions does not change
    assert hexadecimal(slow_digest(table)) == "c15ad556f4645dc4a1e4fab6ee8ae3b1"


def test_large_offsets_and_many_blocks_count_as_the_same_values():
    rows = 40_000
    plain = pa.table({"id": [f"r{at}" for at in range(rows)], "image": [bytes([at % 256]) * 300 for at in range(rows)]})
    large = plain.cast(pa.schema({"id": pa.large_string(), "image": pa.large_binary()}))
    assert batches_digest(plain.to_batches()) == batches_digest(large.to_batches()) == slow_digest(plain)


@pytest.mark.bad_input
@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.list_(pa.int64())])
def test_lists_that_have_no_encoding_are_refused(kind):
    values = [["a"]] if kind.value_type == pa.string() else [[1, None]]
    with pytest.raises(TypeError, match="have no encoding"):
        batches_digest(pa.table({"x": pa.array(values, kind)}).to_batches())

"""A small table of one local file, read and checked without Spark, whose start takes longer than its scoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from millstream.pipelines.readers.table_schema import Type
from millstream.pipelines.scoring.layout import ModelInput
from millstream.tracking.serving.text_normalization import normal_form

MOST_BYTES, MOST_ROWS = 4 << 20, 10_000
ARROW: Mapping[Type, pa.DataType] = {
    "double": pa.float64(),
    "long": pa.int64(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us", "UTC"),
}


class Doubtful(Exception):
    """`input_table` has to read the file: it may read it differently, or refuse it."""


@dataclass(frozen=True)
class SmallTable:
    columns: pa.Table
    """The columns of the file."""
    inputs: pa.Table
    """The inputs of the model."""


def checked(
    columns: Mapping[str, pa.Array], inputs: Mapping[str, tuple[pa.Array, ModelInput]], expected: Sequence[ModelInput]
) -> SmallTable:
    """The table with the inputs that are in the file; those that are not are null.

    Raises Doubtful for a value that `prepare` would refuse, and for names that Spark may not distinguish.
    """
    table = pa.table(dict(columns))
    if len({name.lower() for name in columns}) < len(columns) or table.num_rows > MOST_ROWS:
        raise Doubtful
    if not all(_fits(values, one) for values, one in inputs.values()):
        raise Doubtful
    found = {one.name: inputs[one.name][0] if one.name in inputs else _nulls(table.num_rows, one) for one in expected}
    return SmallTable(table, pa.table(found))


def _fits(values: pa.Array, one: ModelInput) -> bool:
    """Whether no value is refused: see `pipelines/readers/row_validation.py`."""
    if one.declared is None:
        return True
    if values.null_count and not one.nullable:
        return False
    if one.declared.type == "double" and pc.all(pc.is_finite(values), skip_nulls=True).as_py() not in (True, None):
        return False
    known = None if one.declared.classes is None else set(map(normal_form, one.declared.classes))
    return known is None or set(values.drop_null().to_pylist()) <= known


def _nulls(count: int, one: ModelInput) -> Any:
    if one.declared is None:
        raise Doubtful
    return pa.nulls(count, ARROW[one.declared.type])

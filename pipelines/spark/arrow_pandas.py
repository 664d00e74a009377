"""Lossless conversion of rows between Arrow and pandas.

Spark's own conversion to pandas turns integers with nulls into floats, in columns and in lists, which changes them
beyond 2**53. It also has no times after the year 2262.
"""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

NULLABLE = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
}


def to_pandas(rows: pa.RecordBatch | pa.Table) -> pd.DataFrame:
    """Integers as numpy's, or as pandas' nullable ones if there are nulls; times in UTC without a zone."""
    columns = [_series(rows.column(at)) for at in range(rows.num_columns)]
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(rows.num_rows))
    return frame.set_axis(rows.schema.names, axis=1)


def from_pandas(rows: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """The columns of the schema, by name; NaN becomes null."""
    return pa.table([pa.Array.from_pandas(rows[field.name], type=field.type) for field in schema], schema=schema)


def _series(column: pa.Array | pa.ChunkedArray) -> pd.Series:
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = values.type
    if pa.types.is_string(kind):  # as objects with None for null, in every pandas version
        return pd.Series(values.to_numpy(zero_copy_only=False), dtype=object)
    if pa.types.is_timestamp(kind):
        return values.cast(pa.timestamp(kind.unit)).to_pandas()
    if values.null_count and kind in NULLABLE:
        return values.to_pandas(types_mapper=NULLABLE.get)
    if pa.types.is_nested(kind) and not _is_list_of_numpy(values):
        return pd.Series(values.to_pylist(), dtype=object)
    return values.to_pandas()


def _is_list_of_numpy(values: pa.Array) -> bool:
    """Whether each row's list fits a numpy array without loss."""
    if not pa.types.is_list(values.type) or pa.types.is_nested(values.type.value_type):
        return False
    return not values.flatten().null_count

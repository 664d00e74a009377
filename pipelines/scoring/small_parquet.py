"""A small Parquet file, read by Arrow where Spark reads the same: plain columns, and inputs that are cast exactly."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from millstream.pipelines.readers.table_schema import Layout, TableColumn
from millstream.pipelines.scoring.layout import Files, ModelInput, Reading
from millstream.pipelines.scoring.small_table import ARROW, MOST_ROWS, Doubtful, SmallTable, checked
from millstream.pipelines.scoring.text_inputs import TextForm

_WHOLE = (pa.int8(), pa.int16(), pa.int32(), pa.int64())
_SAME = frozenset([pa.bool_(), *_WHOLE, pa.float32(), pa.float64(), pa.string(), pa.binary(), pa.date32()])
"""Types that Spark reads and writes unchanged."""
_AS_TEXT = frozenset([pa.large_string(), *(pa.dictionary(index, pa.string()) for index in _WHOLE)])


def read(files: Files, reading: Reading) -> SmallTable:
    """Raises Doubtful for a file that `input_table` has to read, and BadData for one that lacks a needed column."""
    table = _table(files.paths[0])
    reading.check(files.where, table.column_names)
    columns = {name: _same(table.column(name).combine_chunks()) for name in table.column_names}
    inputs = {
        one.name: (_input(columns[one.name], one, reading.layout), one) for one in reading.inputs if one.name in columns
    }
    return checked(columns, inputs, reading.inputs)


def _table(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            is_repeated = len(set(schema.names)) < len(schema)
            # other writers may have stored times in another calendar, or as INT96
            may_shift = any(map(pa.types.is_temporal, schema.types)) and not _is_of_arrow(file)
            if file.metadata.num_rows > MOST_ROWS or is_repeated or may_shift:
                raise Doubtful
            return file.read()
    except (pa.ArrowException, OSError):
        raise Doubtful from None


def _is_of_arrow(file: pq.ParquetFile) -> bool:
    physical = {file.schema.column(at).physical_type for at in range(len(file.schema))}
    return str(file.metadata.created_by).startswith("parquet-cpp") and "INT96" not in physical


def _same(values: pa.Array) -> pa.Array:
    """As Spark writes them. Raises Doubtful for other types, and for times finer than microseconds."""
    kind = values.type
    if pa.types.is_timestamp(kind):
        try:
            return values.cast(pa.timestamp("us", kind.tz and "UTC"))
        except pa.ArrowInvalid:
            raise Doubtful from None
    if kind in _AS_TEXT:
        return values.cast(pa.string())
    if kind not in _SAME:
        raise Doubtful
    return values


def _input(values: pa.Array, one: ModelInput, layout: Layout) -> pa.Array:
    if one.declared is None:
        return values
    try:
        cast = _cast(values, one.declared)
    except pa.ArrowInvalid:
        raise Doubtful from None
    is_text = one.is_of_source and one.declared.type == "string"
    return TextForm.of(one.declared, layout).applied(cast) if is_text else cast


def _cast(values: pa.Array, declared: TableColumn) -> pa.Array:
    """Raises ArrowInvalid for a value that is not kept exactly."""
    kind, wanted = values.type, ARROW[declared.type]
    numbers = {"double": (*_WHOLE, pa.float32()), "long": (*_WHOLE, pa.float32(), pa.float64())}
    if kind != wanted and kind not in numbers.get(declared.type, ()):
        raise Doubtful
    if pa.types.is_integer(kind) and pa.types.is_floating(wanted):
        return values.cast(pa.int64()).cast(wanted)
    return values.cast(wanted)

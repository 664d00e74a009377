"""Reads Parquet and ORC on the workers, as Arrow batches of types that Spark has; a row is known by its position."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import orc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_type
from pyspark.sql.types import LongType, StringType, StructField, StructType

from millstream.pipelines.readers.parquet_schema import INT96, physical_types
from millstream.pipelines.readers.stored.listing import partition
from millstream.pipelines.readers.stored.tasks import Piece, on_workers
from millstream.pipelines.table import StoredFile
from millstream.tracking.errors import BadData

FILE, NUMBER = "_file", "_number"
POSITION = (FILE, NUMBER)
"""Columns of a row's position: the file's name, and its number there, from 1."""
MOST_SCHEMAS = 20
BATCH_ROWS = 16_384
_SMALL = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
    pa.large_string(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.null(): pa.string(),
    pa.date64(): pa.date32(),
}
"""Types that Spark lacks, and what it reads them as."""
_FAR = "Arrow reads times before 1677 and after 2262 as others; save them as dates or texts, or the table as Parquet"


@dataclass(frozen=True)
class Alike:
    """Files with one schema of the columns that are read."""

    schema: pa.Schema
    """As Spark gets the columns."""
    files: tuple[StoredFile, ...]


def frames(
    spark: SparkSession, files: Sequence[StoredFile], form: str, wanted: Collection[str] | None
) -> list[DataFrame]:
    """A frame for each schema of the files: position, columns (all, or those `wanted` that the file has), partitions.

    Raises BadData for a file that cannot be read, has a type that Spark lacks, or if there are too many schemas.
    """
    partitions = list(partition(files[0].name))
    groups = _alike(spark, files, form, wanted, partitions)
    if len(groups) > MOST_SCHEMAS:
        raise BadData.at(files[0].where, f"the files have {len(groups)} schemas; write them with one")
    made = []
    for group in groups:
        twice = [name for name in partitions if name in group.schema.names]
        if twice:
            message = (
                f"columns {twice} are in the file, too, and in the names of its folders; leave them out of the file"
            )
            raise BadData.at(group.files[0].where, message)
        reader = _Reader(form, group.schema, tuple(partitions))
        made.append(on_workers(spark, group.files, reader, reader.types, cut=form == "parquet", in_order=False))
    return made


def _alike(
    spark: SparkSession,
    files: Sequence[StoredFile],
    form: str,
    wanted: Collection[str] | None,
    partitions: Collection[str],
) -> list[Alike]:
    def described(piece: Piece, stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
        whole = _schema(stream, form)
        if twice := [name for name in partitions if name in whole.names]:
            message = (
                f"columns {twice} are in the file, too, and in the names of its folders; leave them out of the file"
            )
            raise BadData.at(piece.file.where, message)
        schema = _of_spark(_chosen(whole, wanted), form, piece.file)
        text = base64.b64encode(schema.serialize().to_pybytes()).decode()
        yield pa.RecordBatch.from_pydict({"name": [piece.file.name], "schema": [text]})

    rows = on_workers(spark, files, described, "name string, schema string", in_order=False).collect()
    by_name = {row.name: row.schema for row in rows}
    groups: dict[str, list[StoredFile]] = {}
    for file in files:
        groups.setdefault(by_name[file.name], []).append(file)
    return [Alike(pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text))), tuple(of)) for text, of in groups.items()]


def _schema(stream: IO[bytes], form: str) -> pa.Schema:
    """The file's own types of its columns, without metadata."""
    if form == "orc":
        return pa.schema([pa.field(field.name, field.type) for field in orc.ORCFile(stream).schema])
    parquet = _parquet(stream)
    kinds = physical_types(parquet)
    # INT96 is an instant in UTC, whatever Arrow reports
    types = [pa.timestamp("us", "UTC") if kinds[one.name] == {INT96} else one.type for one in parquet.schema_arrow]
    return pa.schema(list(zip(parquet.schema_arrow.names, types, strict=True)))


def _chosen(schema: pa.Schema, wanted: Collection[str] | None) -> pa.Schema:
    """The wanted columns, sorted, as their order in a file does not matter; all as they are where none are named."""
    return schema if wanted is None else pa.schema(sorted((one for one in schema if one.name in wanted), key=_name))


def _name(field: pa.Field) -> str:
    return str(field.name)


def _of_spark(schema: pa.Schema, form: str, file: StoredFile) -> pa.Schema:
    """The types in which Spark gets the columns. Raises BadData for those that it cannot have."""
    times = [field.name for field in schema if pa.types.is_timestamp(field.type)] if form == "orc" else []
    if times:
        raise BadData.at(file.where, f"columns {times} hold times of ORC: {_FAR}")
    fields, odd = [], {}
    for field in schema:
        kind = _type(field.type)
        try:
            from_arrow_type(kind)
        except Exception:  # pyspark's error class depends on its version
            odd[field.name] = str(field.type)
        fields.append(pa.field(field.name, kind))
    if odd:
        would = "save them as texts, numbers or times in microseconds, or leave them out"
        raise BadData.at(file.where, f"columns {odd} are of types that Spark cannot read; {would}")
    return pa.schema(fields)


def _type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _type(kind.value_type)
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    if pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    return _SMALL.get(kind, kind)


def _parquet(stream: IO[bytes]) -> pq.ParquetFile:
    return pq.ParquetFile(stream, coerce_int96_timestamp_unit="us", pre_buffer=True)


@dataclass(frozen=True)
class _Reader:
    form: str
    schema: pa.Schema
    partitions: tuple[str, ...]

    @property
    def types(self) -> StructType:
        fields = [StructField(FILE, StringType()), StructField(NUMBER, LongType())]
        fields += [StructField(field.name, from_arrow_type(field.type)) for field in self.schema]
        return StructType([*fields, *(StructField(name, StringType()) for name in self.partitions)])

    def __call__(self, piece: Piece, stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
        values = partition(piece.file.name)
        for first, batch in self._orc(stream) if self.form == "orc" else self._parquet(stream, piece):
            count = batch.num_rows
            numbers = pa.array(range(first, first + count), pa.int64())
            columns = [_cast(batch.column(field.name), field, piece.file) for field in self.schema]
            of_folders = [pa.array([values[name]] * count, pa.string()) for name in self.partitions]
            names = [FILE, NUMBER, *self.schema.names, *self.partitions]
            arrays = [pa.array([piece.file.name] * count, pa.string()), numbers, *columns, *of_folders]
            yield pa.RecordBatch.from_arrays(arrays, names)

    def _parquet(self, stream: IO[bytes], piece: Piece) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Batches of the piece's row groups (whose middle is in it), with the number of their first row."""
        file = _parquet(stream)
        groups = [file.metadata.row_group(at) for at in range(file.num_row_groups)]
        rows = sum(group.num_rows for group in groups)
        before = 0
        for at, group in enumerate(groups):
            middle = (before + group.num_rows / 2) / max(1, rows)
            number = before + 1
            before += group.num_rows
            if piece.at <= middle * piece.of < piece.at + 1:
                # one group at a time: Arrow fetches all columns of those that it is given before the first row
                for batch in file.iter_batches(BATCH_ROWS, [at], self.schema.names, use_threads=False):
                    yield number, batch
                    number += batch.num_rows

    def _orc(self, stream: IO[bytes]) -> Iterator[tuple[int, pa.RecordBatch]]:
        file, number = orc.ORCFile(stream), 1
        for at in range(file.nstripes):
            stripe = file.read_stripe(at, self.schema.names)
            for start in range(0, stripe.num_rows, BATCH_ROWS):
                batch = stripe.slice(start, BATCH_ROWS)
                yield number, batch
                number += batch.num_rows


def _cast(values: Any, field: pa.Field, file: StoredFile) -> Any:
    if values.type == field.type:
        return values
    if pa.types.is_timestamp(values.type) and values.type.unit == "ns":
        finer = pc.sum(pc.not_equal(pc.nanosecond(values), 0)).as_py()
        if finer:
            would = "save them with frame.to_parquet(..., coerce_timestamps='us', allow_truncated_timestamps=True)"
            message = f"column {field.name!r} holds times in nanoseconds, {finer} of them no whole microseconds"
            raise BadData.at(file.where, f"{message}; {would}")
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values if values.type == field.type else values.cast(field.type, safe=not pa.types.is_timestamp(field.type))

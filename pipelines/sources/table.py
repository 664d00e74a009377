"""One's own tables, without writing Python: CSV or Parquet with a declared schema.

A row that does not fit the schema is put aside with its line and a short reason; a file that does not fit at all is
refused.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, LongType, StringType, StructField, StructType

from pipelines import parquet
from pipelines import table as flow
from pipelines.lines import first_line, numbered
from pipelines.rows import draw, escaped, named, with_places
from pipelines.table import OriginFile
from tracking.faults import BadData
from tracking.manifest import Column, Role

_TYPES = {"double": DoubleType(), "long": LongType(), "string": StringType()}
_DTYPES = {"double": "float64", "long": "int64", "string": "string"}
_CORRUPT = "_corrupt"
_WHITESPACE = "whitespace"


class TableFile(BaseModel, frozen=True, extra="forbid"):
    name: str = Field(description="`<data set>/<file>` in the mirror, or a path")
    sha256: str | None = Field(None, description="of its bytes; needed for a url")
    url: str | None = Field(None, description="where it is fetched when it is nowhere on this machine")
    split: Literal["train", "valid", "test"] | None = Field(None, description="the split of all of its rows")


class TableColumn(BaseModel, frozen=True, extra="forbid"):
    type: Literal["double", "long", "string"]
    role: Role = "input"
    nullable: bool = Field(False, description="whether a value may be missing")
    strip: str = Field("", description="characters taken off both ends of a text")
    unit: str = ""


class Folds(BaseModel, frozen=True, extra="forbid"):
    """Splits that somebody published: a tar archive with lists of row numbers, from 0, for each fold."""

    file: TableFile
    train: str = Field(description="member with the train rows, with {fold} in its name")
    test: str
    fold: int = Field(ge=0)


class Table(BaseModel, frozen=True, extra="forbid"):
    """Rows of one or more files of one shape."""

    files: tuple[TableFile, ...] = Field(min_length=1)
    columns: dict[str, TableColumn] = Field(
        min_length=1, description="all columns, in the order of the files without header"
    )
    format: Literal["csv", "parquet"] = "csv"
    header: bool = Field(True, description="whether the first line names the columns")
    delimiter: str = Field(",", min_length=1, description=f"between two values; `{_WHITESPACE}` for any run of blanks")
    null: str = Field("", description="what stands for a missing value")
    key: str | None = Field(None, description="column that names a row; default: its file and line")
    folds: Folds | None = None
    limit: int | None = Field(None, ge=1, description="take this many rows, those with the lowest hashes")
    licence: str = "not stated"
    origin: str = "not stated"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.key is not None and self.key not in self.columns:
            raise ValueError(f"key: {self.key!r} is none of the columns {list(self.columns)}")
        if self.format == "parquet" and self.key is None:
            raise ValueError("key: rows of Parquet have no lines; name a column that names a row")
        if self.delimiter != _WHITESPACE and len(self.delimiter) > 1:
            raise ValueError(f"delimiter: one character, or {_WHITESPACE}; found {self.delimiter!r}")
        return self

    def origin_files(self) -> tuple[OriginFile, ...]:
        read = (*self.files, self.folds.file) if self.folds else self.files
        return tuple(OriginFile(file.name, file.url, file.sha256) for file in read)

    def read(self, spark: SparkSession, files: Mapping[str, Path], seed: int) -> flow.Table:
        """Raises BadData for a file that is empty, no UTF-8, without its columns, or without a single good row."""
        pieces = [self._file(spark, file, files[file.name]) for file in self.files]
        frame = reduce(DataFrame.unionByName, (piece.frame for piece in pieces))
        refused = [piece.refused for piece in pieces if piece.refused is not None]
        if self.folds is not None:
            frame = self._folded(spark, frame, files[self.folds.file.name])
        if self.limit is not None:
            frame = frame.orderBy(F.expr(draw(0, "limit", "sample_id")), "sample_id").limit(self.limit)
        columns = tuple(_column(name, declared) for name, declared in self.columns.items())
        both = reduce(DataFrame.unionByName, refused) if refused else None
        return flow.Table(frame.drop("_number"), columns, both)

    def _file(self, spark: SparkSession, file: TableFile, path: Path) -> flow.Table:
        parsed = self._parquet(spark, path) if self.format == "parquet" else self._csv(spark, path)
        name = named(self.key).cast("string") if self.key else F.format_string("%s:%d", F.lit(path.name), "_number")
        rows = parsed.withColumn("sample_id", name).withColumn("split", F.lit(file.split).cast("string")).persist()
        kept = with_places(rows.where("_reason IS NULL")).drop("_reason", "_line")
        if kept.isEmpty():
            first = rows.select("_number", "_reason", "_line").orderBy("_number").head()
            told = f"line {first[0]}: {first[1]}: {str(first[2])[:80]!r}" if first else "only a header"
            raise BadData.at(path, f"no row fits the declared columns {list(self.columns)}; {told}")
        refused = rows.where("_reason IS NOT NULL")
        content = refused.select(
            F.format_string("%s:%d", F.lit(path.name), "_number").alias("sample_id"),
            F.col("_reason").alias("reason"),
            F.col("_line").alias("content"),
        )
        return flow.Table(kept, (), None if refused.isEmpty() else content)

    def _csv(self, spark: SparkSession, path: Path) -> DataFrame:
        names = self._header(path) if self.header else list(self.columns)
        declared = {name: _TYPES[self.columns[name].type] for name in names if name in self.columns}
        fields = [StructField(name, declared.get(name, StringType())) for name in names]
        schema = StructType([*fields, StructField(_CORRUPT, StringType())])
        options = {
            "sep": "\t" if self.delimiter == _WHITESPACE else self.delimiter,
            "nullValue": self.null,
            "mode": "PERMISSIVE",
            "columnNameOfCorruptRecord": _CORRUPT,
            "ignoreLeadingWhiteSpace": "true",
            "ignoreTrailingWhiteSpace": "true",
        }
        lines = numbered(spark, path).where("length(trim(line)) > 0")
        if self.header:
            lines = lines.where("number > 1")
        text = F.regexp_replace(F.trim("line"), r"\s+", "\t") if self.delimiter == _WHITESPACE else F.col("line")
        parsed = lines.withColumn("_row", F.from_csv(text, schema.simpleString(), options))
        values = [F.col("_row")[name].alias(name) for name in self.columns]
        frame = parsed.select(
            F.col("number").alias("_number"), F.col("line").alias("_line"), F.col("_row")[_CORRUPT], *values
        )
        frame = frame.withColumnRenamed(f"_row.{_CORRUPT}", _CORRUPT)
        return self._judged(self._stripped(frame))

    def _parquet(self, spark: SparkSession, path: Path) -> DataFrame:
        frame = parquet.read(spark, path)
        missing = [name for name in self.columns if name not in frame.columns]
        if missing:
            raise BadData.at(path, f"no columns {missing}; it has {frame.columns}")
        values = [named(name).cast(_TYPES[one.type]).alias(name) for name, one in self.columns.items()]
        none = F.lit(None).cast("string")
        frame = frame.select(F.lit(0).cast("long").alias("_number"), none.alias("_line"), none.alias(_CORRUPT), *values)
        return self._judged(self._stripped(frame))

    def _header(self, path: Path) -> list[str]:
        line = first_line(path)
        names = line.split() if self.delimiter == _WHITESPACE else line.split(self.delimiter)
        names = [name.strip().strip('"') for name in names]
        missing = [name for name in self.columns if name not in names]
        if missing:
            told = f"the header names {names[:20]}; {missing} are missing: is the delimiter {self.delimiter!r} right?"
            raise BadData.at(f"{path}:1", told)
        if len(set(names)) < len(names):
            raise BadData.at(f"{path}:1", f"a column comes twice in the header {names}")
        return names

    def _stripped(self, frame: DataFrame) -> DataFrame:
        for name, declared in self.columns.items():
            if declared.type == "string":
                value = F.trim(named(name))
                if declared.strip:
                    value = F.expr(f"trim(BOTH '{declared.strip.replace(chr(39), chr(39) * 2)}' FROM {escaped(name)})")
                frame = frame.withColumn(name, F.when(value == self.null, None).otherwise(value))
        return frame

    def _judged(self, frame: DataFrame) -> DataFrame:
        """Adds `_reason`, null for a good row."""
        count = len(self.columns)
        pieces = F.size(
            F.split(F.trim("_line"), r"\s+" if self.delimiter == _WHITESPACE else f"\\{self.delimiter}", -1)
        )
        ragged = F.col(_CORRUPT).isNotNull() & (pieces != count) & F.lit(not self.header)
        reasons: list[SparkColumn] = [
            F.when(F.col("_line").contains("\x00"), "holds a NUL byte"),
            F.when(F.col("_line").contains("\ufffd"), "is not UTF-8"),
            F.when(ragged, f"has other than {count} values"),
            F.when(F.col(_CORRUPT).isNotNull(), "a value is of another type, or values are missing"),
        ]
        for name, declared in self.columns.items():
            value = named(name)
            if declared.type == "double":
                endless = F.isnan(value) | (F.abs(value) == float("inf"))
                reasons.append(F.when(endless, f"{name} is not finite"))
            if not declared.nullable:
                reasons.append(F.when(value.isNull(), f"{name} is missing"))
        return frame.withColumn("_reason", F.coalesce(*reasons)).drop(_CORRUPT)

    def _folded(self, spark: SparkSession, frame: DataFrame, archive: Path) -> DataFrame:
        """The frame with the splits of one published fold; row 0 is the first line of data."""
        folds = self.folds
        if folds is None:
            return frame
        rows = [
            (at, split) for split in ("train", "test") for at in _members(archive, getattr(folds, split), folds.fold)
        ]
        splits = spark.createDataFrame(rows, "row long, split string")
        first = 2 if self.header else 1
        joined = frame.drop("split").join(F.broadcast(splits), F.col("_number") - first == F.col("row"), "inner")
        return joined.drop("row").select(*frame.columns)


def _column(name: str, declared: TableColumn) -> Column:
    meaning: Literal["number", "category"] = "category" if declared.type == "string" else "number"
    return Column(name=name, dtype=_DTYPES[declared.type], role=declared.role, meaning=meaning, unit=declared.unit)


def _members(archive: Path, pattern: str, fold: int) -> list[int]:
    """The row numbers in one member of a tar archive; nothing is unpacked."""
    name = pattern.replace("{fold}", str(fold))
    try:
        with tarfile.open(archive) as tar:
            member = tar.extractfile(name)
            text = member.read().decode() if member else ""
    except (KeyError, tarfile.TarError, UnicodeDecodeError) as error:
        raise BadData.at(
            archive, f"no list of rows {name!r} in it ({error}); look at folds.train, .test and .fold"
        ) from None
    return [int(float(number)) for number in text.split()]

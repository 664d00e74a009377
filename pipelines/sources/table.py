"""Tables from CSV, JSON lines, Parquet, ORC, or a database.

A row that does not fit the schema is quarantined with its line and a short reason; a file without a fitting row is
refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from millstream.pipelines import table as flow
from millstream.pipelines.readers import csv_json, parquet_orc_jdbc, parquet_schema, part_files
from millstream.pipelines.readers.casts import typed
from millstream.pipelines.readers.csv_json import WHITESPACE, csv_rows
from millstream.pipelines.readers.file_spec import SplitFile
from millstream.pipelines.readers.lines import Encoding
from millstream.pipelines.readers.parquet_orc_jdbc import Ranges
from millstream.pipelines.readers.part_files import Parts
from millstream.pipelines.readers.published_folds import Folds, check_rows_are_lines
from millstream.pipelines.readers.row_validation import judged, stripped
from millstream.pipelines.readers.stored import listing, tables
from millstream.pipelines.readers.stored.listing import IDENTITY
from millstream.pipelines.readers.table_schema import Layout, TableColumn, inferred
from millstream.pipelines.spark.caching import cached
from millstream.pipelines.spark.frames import SPLIT, fewest, named, unfit_names, with_places
from millstream.pipelines.table import Identity, OriginFile, StoredFile
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData

_DTYPES = {"double": "float64", "long": "int64", "string": "string", "timestamp": "datetime64[us]"}


def _is_none(value: object) -> bool:
    """Whether a field is left out of the version's name, which recipes older than the field keep."""
    return value is None


class Database(BaseModel, frozen=True, extra="forbid"):
    """User and password come from MILLSTREAM_JDBC_USER and MILLSTREAM_JDBC_PASSWORD."""

    url: str = Field(pattern=r"^jdbc:", description="jdbc:...; its driver must be on Spark's class path")
    table: str = Field(pattern=r"^[\w.]+$", description="table or view")
    snapshot: str = Field(description="name of the table's state, such as a date: part of the dataset version")
    ranges: Ranges | None = Field(
        None, exclude=True, description="read in parallel by ranges of a column; which changes no row, nor the version"
    )

    def frame(self, spark: SparkSession) -> DataFrame:
        return parquet_orc_jdbc.jdbc(spark, self.url, self.table, ranges=self.ranges)


class Table(BaseModel, frozen=True, extra="forbid"):
    """Rows of one or more files of the same schema, or of a database table. A column `split` has the split of each row,
    for `split: {by: given}`."""

    version: ClassVar[int] = 4

    files: tuple[SplitFile, ...] = Field(
        (), description="files, or folders written by Spark or Hive, of which all part files are read"
    )
    database: Database | None = Field(None, description="a table of a database, instead of files")
    path: str | None = Field(
        None,
        min_length=1,
        exclude_if=_is_none,
        description="path or URL of a file, or of a folder (partitioned as by Hive or not), which the workers read "
        "where it lies",
    )
    identity: Identity | None = Field(None, exclude_if=_is_none, description=IDENTITY)
    columns: dict[str, TableColumn] | Literal["inferred"] = Field(
        description="all columns, in file order if there is no header; or `inferred` from all rows"
    )
    target: str | None = Field(None, description="target column, when columns are inferred")
    format: Literal["csv", "jsonl", "parquet", "orc"] = Field("csv", description="format of the files")
    header: bool = Field(True, description="whether the first row of a CSV file has the column names")
    delimiter: str = Field(",", min_length=1, description=f"delimiter; `{WHITESPACE}` for any run of blanks")
    null: str | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "", description="text of a missing value, or several"
    )
    encoding: Encoding = Field("utf-8", description="character encoding of CSV files")
    decimal: Literal[".", ","] = Field(".", description="decimal mark of numbers in CSV files")
    key: str | None = Field(
        None, description="column with the id of a row; default: its file and line, in Parquet its place in the file"
    )
    folds: Folds | None = Field(None, description="published folds: which rows are test")
    limit: int | None = Field(None, ge=1, description="read only this many rows, those with the lowest hashes")
    licence: str = Field("not stated", description="licence of the data, kept in the manifest")
    origin: str = Field("not stated", description="where the data come from, kept in the manifest")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if [bool(self.files), self.database is not None, self.path is not None].count(True) != 1:
            raise ValueError("files, database, path: give one of them")
        if self.path is None and self.identity is not None:
            raise ValueError("identity: of what `path` names; origin files are identified by their content")
        if self.path is not None and self.folds is not None:
            raise ValueError("folds: lists of row numbers are of one of `files`; leave them out with path")
        if isinstance(self.columns, dict) and (not self.columns or (self.key and self.key not in self.columns)):
            raise ValueError(f"key: {self.key!r} is none of the columns {list(self.columns)}")
        if self.key is None and self.path is None and (self.format == "orc" or self.database):
            raise ValueError("key: rows of orc or a database have no numbers; name a column that names a row")
        if self.columns == "inferred" and not self.header:
            raise ValueError("columns: a file without header does not name its columns; declare them")
        if self.delimiter != WHITESPACE and len(self.delimiter) > 1:
            raise ValueError(f"delimiter: one character, or {WHITESPACE}; found {self.delimiter!r}")
        if self.decimal == self.delimiter:
            raise ValueError(f"decimal: {self.decimal!r} is the delimiter, too")
        if self.decimal != "." and self.columns == "inferred":
            raise ValueError(f"decimal: numbers with {self.decimal!r} are texts to Spark; declare the columns")
        if not isinstance(self.null, str) and (self.columns == "inferred" or self.format != "csv"):
            raise ValueError("null: several texts are read from CSV files with declared columns; declare them")
        if isinstance(self.columns, dict):
            alike = [name for name, one in self.columns.items() if one.number and one.number.thousands == self.decimal]
            if alike:
                raise ValueError(f"columns: thousands of {alike} are separated by the decimal mark {self.decimal!r}")
        if self.format != "csv" and (self.encoding != "utf-8" or self.decimal != "."):
            raise ValueError(f"encoding, decimal: of CSV files; {self.format} has its own")
        unfit = unfit_names(self.columns if isinstance(self.columns, dict) else ())
        if unfit:
            raise ValueError(f"columns: {'; '.join(unfit)}")
        if SPLIT in self.columns and (self.folds or any(file.split for file in self.files)):
            raise ValueError("columns: `split` has the split of each row; leave out split and folds of the files")
        return self

    def origin_files(self) -> tuple[OriginFile, ...]:
        files = [replace(file.origin, or_folder=True) for file in self.files]
        return (*files, self.folds.file.origin) if self.folds else tuple(files)

    def declared(self, classes: tuple[str, ...]) -> tuple[Column, ...] | None:
        """The columns that the recipe declares; None where they are inferred from the rows."""
        if not isinstance(self.columns, dict):
            return None
        return tuple(_column(name, one) for name, one in self.columns.items() if name != SPLIT)

    def read(self, spark: SparkSession, files: Mapping[str, Path], seed: int) -> flow.Table:
        """Raises BadData for a file that is empty, not in its encoding, without its columns, or without a valid row."""
        found = part_files.located(self.files, files)
        columns = self._declared(spark, found)
        rows = self._rows(spark, found, self.layout(columns))
        names: list[tuple[str, Iterable[str | None]]] = [(one.file.name, one.paths) for one in found]
        return self._table(spark, rows, columns, names or [("database", [None])], files)

    @property
    def place(self) -> str | None:
        return self.path

    @property
    def identified_by(self) -> Identity:
        return self.identity or "content"

    def stored_files(self, files: Mapping[str, Path], folders: Sequence[Path]) -> tuple[StoredFile, ...]:
        return listing.listed(self.path, folders) if self.path is not None else ()

    def read_stored(
        self, spark: SparkSession, stored: Sequence[StoredFile], files: Mapping[str, Path], seed: int
    ) -> flow.Table:
        """Raises BadData as `read`, and for a file that has changed since it was listed."""
        filled = tables.filled(stored)
        columns = self.columns
        if not isinstance(columns, dict):
            columns = self._inferred(tables.seen(spark, filled, self.format, self.layout({})))
        rows = tables.rows(spark, filled, self.format, self.layout(columns))
        rows = rows.withColumn("_split", F.lit(None).cast("string"))
        return self._table(spark, rows, columns, [(str(self.path), [file.name for file in filled])], files)

    def _table(
        self,
        spark: SparkSession,
        rows: DataFrame,
        columns: dict[str, TableColumn],
        names: Sequence[tuple[str, Iterable[str | None]]],
        files: Mapping[str, Path],
    ) -> flow.Table:
        """`names`: for each table of the recipe the names of its files, of which one must have a valid row."""
        layout = self.layout(columns)
        rows = cached(judged(stripped(rows, layout), layout, self.key).withColumn("sample_id", self._sample_id()))
        bad = self._check_each_table(rows, names, list(columns))
        refused = self._refused(rows, columns) if bad else None
        frame = rows.where("_reason IS NULL")
        row_split = F.coalesce("_split", named(SPLIT).cast("string")) if SPLIT in columns else F.col("_split")
        frame = frame.withColumn(SPLIT, row_split).drop("_split")
        frame = with_places(frame.drop("_reason", "_line", "_file"))
        if self.folds is not None:
            check_rows_are_lines(rows)
            archive = files[self.folds.file.name]
            frame = self.folds.assigned(spark, frame, archive, first_line=2 if self.header else 1)
        frame = fewest(frame, self.limit)
        kept = tuple(_column(name, declared) for name, declared in columns.items() if name != SPLIT)
        held = rows if self.folds is None and self.limit is None else None
        resolved = {"columns": {name: declared.model_dump(mode="json") for name, declared in columns.items()}}
        return flow.Table(frame.drop("_number"), kept, refused, held=held, resolved=resolved)

    def layout(self, columns: dict[str, TableColumn]) -> Layout:
        return Layout(
            columns=columns,
            header=self.header,
            delimiter=self.delimiter,
            null=self.null,
            encoding=self.encoding,
            decimal=self.decimal,
        )

    def _rows(self, spark: SparkSession, tables: Sequence[Parts], layout: Layout) -> DataFrame:
        if self.database is not None:
            none = F.lit(None).cast("string")
            frame = typed(self.database.frame(spark), self.database.table, layout)
            return frame.drop("_part").withColumns({"_file": none, "_split": none})
        pieces = []
        for table in tables:
            is_numbered = self.key is None and self.format == "parquet"
            reader = parquet_orc_jdbc.numbered_parquet if is_numbered else parquet_orc_jdbc.READERS[self.format]
            frame = reader(spark, list(table.paths.values()), layout)
            file = F.get(F.array(*map(F.lit, table.paths)), F.col("_part"))
            split = F.lit(table.file.split).cast("string")
            pieces.append(frame.withColumns({"_file": file, "_split": split}).drop("_part"))
        return reduce(DataFrame.unionByName, pieces)

    def _declared(self, spark: SparkSession, tables: Sequence[Parts]) -> dict[str, TableColumn]:
        if isinstance(self.columns, dict):
            return self.columns
        paths = [path for table in tables for path in table.paths.values()]
        if self.database is not None:
            frame = self.database.frame(spark)
        elif self.format == "csv":
            content = csv_rows(spark, paths, self.delimiter, self.encoding) or _urls(paths)
            frame = csv_json.seen(spark, content, self.layout({}))
        elif self.format == "parquet":
            frame = reduce(
                DataFrame.unionByName, [parquet_schema.read(spark, *alike) for alike in parquet_schema.alike(paths)]
            )
        else:
            frame = spark.read.format("json" if self.format == "jsonl" else self.format).load(_urls(paths))
        return self._inferred(frame)

    def _inferred(self, frame: DataFrame) -> dict[str, TableColumn]:
        columns = inferred(frame, self.target, self.key, in_text=self.format in ("csv", "jsonl"))
        if unfit := unfit_names(columns):
            raise BadData.at("data.source", f"columns: {'; '.join(unfit)}")
        missing = [name for name in (self.target, self.key) if name is not None and name not in columns]
        if missing:
            raise BadData.at("data.source", f"no columns {missing}; the files have {list(columns)}")
        return columns

    def _check_each_table(
        self, rows: DataFrame, names: Sequence[tuple[str, Iterable[str | None]]], columns: list[str]
    ) -> int:
        """The number of invalid rows. Raises BadData for a file, or a folder of part files, without a valid row."""
        good = F.sum(F.expr("CAST(_reason IS NULL AS INT)")).alias("good")
        first = F.min(F.expr("CASE WHEN _reason IS NOT NULL THEN struct(_number, _reason, _line) END")).alias("first")
        counts = rows.groupBy("_file").agg(good, first, F.count("*").alias("all")).collect()
        by_file = {row["_file"]: row for row in counts}
        for where, files in names:
            seen = [by_file[name] for name in files if name in by_file]
            if not any(row["good"] for row in seen):
                such = next((_first_invalid(row) for row in seen if row["first"]), "only a header")
                raise BadData.at(where, f"no row fits the declared columns {columns}; {such}")
        return sum(row["all"] - row["good"] for row in counts)

    def _refused(self, rows: DataFrame, columns: Mapping[str, TableColumn]) -> DataFrame:
        """The invalid rows, cached separately, as they are kept longer than the others."""
        refused = rows.where("_reason IS NOT NULL").select(
            F.coalesce(self._place(), F.lit("?")).alias("sample_id"),
            F.col("_reason").alias("reason"),
            self._content(columns),
        )
        refused = cached(refused)
        refused.count()
        return refused

    def _sample_id(self) -> SparkColumn:
        return named(self.key).cast("string") if self.key else self._place()

    def _place(self) -> SparkColumn:
        """The file and line of a row, or its key if the format has no lines."""
        place = F.format_string("%s:%d", "_file", "_number")
        return F.when(F.col("_number") > 0, place).otherwise(named(self.key).cast("string")) if self.key else place

    def _content(self, columns: Mapping[str, TableColumn]) -> SparkColumn:
        whole = F.to_json(F.struct(*(named(name) for name in columns)))
        return F.coalesce("_line", whole).alias("content")


def _first_invalid(row: Row) -> str:
    """Describes the first invalid row of a file, for an error."""
    number, reason, line = row["first"]
    place = f"line {number} of {row['_file']}: " if number else ""
    return f"{place}{reason}: {str(line)[:80]!r}"


def _urls(paths: Iterable[Path]) -> list[str]:
    return [f"file:{path}" for path in paths]


def _column(name: str, declared: TableColumn) -> Column:
    meaning: Literal["number", "category"] = "category" if declared.type == "string" else "number"
    role = "key" if declared.type == "timestamp" else declared.role
    return Column(name=name, dtype=_DTYPES[declared.type], role=role, meaning=meaning, unit=declared.unit)

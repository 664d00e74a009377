"""Texts, a line each: files whose name is the class of their lines, or one long document."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, Field
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.lines import numbered
from pipelines.rows import draw, with_places
from pipelines.table import OriginFile, Table
from tracking.faults import BadData
from tracking.manifest import Column


class TextFile(BaseModel, frozen=True, extra="forbid"):
    name: str = Field(description="`<data set>/<file>` in the mirror, or a path")
    sha256: str | None = Field(None, description="of its bytes; needed for a url")
    url: str | None = Field(None, description="where it is fetched when it is nowhere on this machine")
    label: str | None = Field(None, description="class of its lines; default: the file's name without ending")


class Text(BaseModel, frozen=True, extra="forbid"):
    """`lines`: each line is a sample with the class of its file. `document`: lines in order, blank ones too."""

    files: tuple[TextFile, ...] = Field(min_length=1)
    mode: Literal["lines", "document"] = "lines"
    limit: int | None = Field(None, ge=1, description="take this many rows, those with the lowest hashes")
    licence: str = "not stated"
    origin: str = "not stated"

    def origin_files(self) -> tuple[OriginFile, ...]:
        return tuple(OriginFile(file.name, file.url, file.sha256) for file in self.files)

    def read(self, spark: SparkSession, files: Mapping[str, Path], seed: int) -> Table:
        """Raises BadData for a file that is empty, or without a single line that is taken."""
        pieces = [self._file(spark, file, files[file.name]) for file in self.files]
        rows = reduce(DataFrame.unionByName, pieces).persist()
        columns: tuple[Column, ...] = (Column(name="text", dtype="string", role="input", meaning="text"),)
        if self.mode == "lines":
            columns = (*columns, Column(name="label", dtype="string", role="target", meaning="category"))
        kept = with_places(rows.where("_reason IS NULL").drop("_reason"))
        if kept.isEmpty():
            raise BadData.at(", ".join(file.name for file in self.files), "no line with text in it")
        if self.limit is not None:
            kept = kept.orderBy(F.expr(draw(0, "limit", "sample_id")), "sample_id").limit(self.limit)
        table = Table(rows, columns).refusing(rows.where("_reason IS NOT NULL"), F.col("_reason"))
        return Table(kept, columns, table.refused)

    def _file(self, spark: SparkSession, file: TextFile, path: Path) -> DataFrame:
        stem = PurePosixPath(file.name).stem
        lines = numbered(spark, path)
        reasons = [
            F.when(F.col("line").contains("\x00"), "holds a NUL byte"),
            F.when(F.col("line").contains("\ufffd"), "is not UTF-8"),
        ]
        if self.mode == "lines":
            reasons.append(F.when(F.length(F.trim("line")) == 0, "is empty"))
        return lines.select(
            F.format_string("%s:%d", F.lit(PurePosixPath(file.name).name), "number").alias("sample_id"),
            *([F.lit(file.label or stem).alias("label")] if self.mode == "lines" else []),
            (F.trim("line") if self.mode == "lines" else F.col("line")).alias("text"),
            F.coalesce(*reasons).alias("_reason"),
        )

"""Published splits: lists of row numbers in an archive."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path

from pydantic import BaseModel, Field
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.pipelines.readers.file_spec import NamedFile
from millstream.tracking.errors import BadData

LONGEST_LIST = 1 << 28
"""Maximal bytes of a list of row numbers."""


class Folds(BaseModel, frozen=True, extra="forbid"):
    """Published splits: a tar archive with lists of row numbers, from 0, for each fold."""

    file: NamedFile = Field(description="archive of the folds")
    train: str = Field(description="archive member with the training rows; {fold} is replaced")
    test: str = Field(description="name in the archive of the list of test rows, with {fold}")
    fold: int = Field(ge=0, description="number of the fold")

    def assigned(self, spark: SparkSession, frame: DataFrame, archive: Path, first_line: int) -> DataFrame:
        """The rows of `frame` in the fold, with their `split`; row 0 is line `first_line` of its file."""
        rows = [(at, split) for split in ("train", "test") for at in _members(archive, getattr(self, split), self.fold)]
        splits = spark.createDataFrame(rows, "row long, split string")
        joined = frame.drop("split").join(F.broadcast(splits), F.col("_number") - first_line == F.col("row"), "inner")
        return joined.drop("row").select(*frame.columns)


def check_rows_are_lines(rows: DataFrame) -> None:
    odd = rows.where(F.col("_line").contains("\n")).select("_file", "_number").head()
    if odd is not None:
        message = "a row spans several lines, and lists of row numbers count lines"
        raise BadData.at(f"{odd[0]}:{odd[1]}", f"{message}; leave out folds, or save the table with a row on each line")


def _members(archive: Path, pattern: str, fold: int) -> list[int]:
    """The row numbers in one member of a tar archive, read without extraction to disk."""
    name = pattern.replace("{fold}", str(fold))
    try:
        with tarfile.open(archive) as tar:
            if tar.getmember(name).size > LONGEST_LIST:
                raise BadData.at(
                    archive, f"{name!r} unfolds to {tar.getmember(name).size} bytes; no list of rows is so long"
                )
            member = tar.extractfile(name)
            text = member.read().decode() if member else ""
            return [int(float(number)) for number in text.split()]
    except (KeyError, ValueError, OverflowError, OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise BadData.at(
            archive, f"no list of rows {name!r} in it ({error}); look at folds.train, .test and .fold"
        ) from None

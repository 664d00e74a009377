"""Removes leakage by near-duplicates: train rows that are nearly equal to a validation or test row."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field
from pyspark.sql import functions as F

from millstream.pipelines.ops.near_duplicates import Near, comparable, links
from millstream.pipelines.spark.caching import cached
from millstream.pipelines.table import Learned, Place, Table
from millstream.tracking.dataset.records import Served
from millstream.tracking.errors import BadData


class Decontaminate(BaseModel, frozen=True, extra="forbid"):
    """Finds train rows that nearly duplicate a validation or test row, and refuses the data or quarantines the rows.

    | sample_id | split | text            | ->  | sample_id | split | text            |   quarantine: a
    | a         | train | The same again  |     |           |       |                 |
    | b         | test  | The same again. |     | b         | test  | The same again. |
    """

    version: ClassVar[int] = 1
    place: ClassVar[Place] = "after split"
    served: ClassVar[Served] = "same"
    train_only: ClassVar[bool] = False
    looks_around: ClassVar[bool] = True

    then: Literal["refuse", "put aside"] = Field(description="refuse the data, or quarantine those rows")
    column: str | None = Field(None, description="an image or text column; default: the only such input")
    distance: int = Field(
        4, ge=0, le=16, description="largest Hamming distance of two images' 64-bit perceptual hashes"
    )
    alike: float = Field(0.98, ge=0, le=1, description="smallest correlation of two images' pixels, in grey, 32 x 32")
    similarity: float = Field(0.8, ge=0.3, le=1, description="smallest Jaccard index of two texts' shingles")
    shingle: int = Field(5, ge=1, le=50, description="characters of a shingle")

    def fit(self, train: Table, seed: int) -> Learned:
        return {}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        """Raises BadData for a column that is neither image nor text, and with `refuse` for near-duplicates."""
        near = Near(self.distance, self.alike, self.similarity, self.shingle)
        pairs = links(table, self._name(table), near, F.when(F.col("split") == "train", 2).otherwise(1))
        twins = cached(pairs.groupBy(F.col("other").alias("sample_id")).agg(F.min("one").alias("_twin")))
        first = twins.orderBy("sample_id").head()
        if first is None:
            return table
        if self.then == "refuse":
            message = (
                f"{twins.count()} train rows are nearly equal to one of valid or test, such as {first[0]} to {first[1]}"
            )
            raise BadData.at("step decontaminate", f"{message}; `then: put aside` leaves them out")
        doubles = table.frame.join(twins, "sample_id", "left_semi")
        table = table.refusing(doubles, F.lit("nearly equal to a row of valid or test"))
        return table.replacing(table.frame.join(twins, "sample_id", "left_anti"))

    def _name(self, table: Table) -> str:
        if self.column is not None:
            return self.column
        names = comparable(table)
        if len(names) != 1:
            raise BadData.at("step decontaminate", f"column: name an image or a text; such inputs are: {names}")
        return names[0]

"""Keeps train free of what valid or test ask: rows that are nearly equal to one of theirs."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field
from pyspark.sql import functions as F

from millstream.pipelines.ops.near_duplicates import Near, comparable, links
from millstream.pipelines.table import Learned, Place, Table
from millstream.tracking.dataset.records import Served
from millstream.tracking.errors import BadData


class Decontaminate(BaseModel, frozen=True, extra="forbid"):
    """Looks for train rows that are nearly equal to a row of valid or test, and refuses the data, or puts them aside.

    | sample_id | split | text            | ->  | sample_id | split | text            |   quarantine: a
    | a         | train | The same again  |     |           |       |                 |
    | b         | test  | The same again. |     | b         | test  | The same again. |
    """

    version: ClassVar[int] = 1
    place: ClassVar[Place] = "after split"
    served: ClassVar[Served] = "same"
    train_only: ClassVar[bool] = False
    looks_around: ClassVar[bool] = True

    then: Literal["refuse", "put aside"] = Field(description="what is done with data that have such rows")
    column: str | None = Field(None, description="a picture or text; default: the only input that is one")
    distance: int = Field(4, ge=0, le=16, description="most bits of 64 in which the hashes of two pictures differ")
    alike: float = Field(0.98, ge=0, le=1, description="least correlation of two pictures' pixels, in grey, 32 x 32")
    similarity: float = Field(0.8, ge=0.3, le=1, description="least Jaccard index of two texts' sets of pieces")
    shingle: int = Field(5, ge=1, le=50, description="characters of a piece of text")

    def fit(self, train: Table, seed: int) -> Learned:
        return {}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        """Raises BadData for a column that cannot be compared, and with `refuse` for the first such row."""
        near = Near(self.distance, self.alike, self.similarity, self.shingle)
        found = links(table, self._name(table), near, F.when(F.col("split") == "train", 2).otherwise(1))
        twins = found.groupBy(F.col("other").alias("sample_id")).agg(F.min("one").alias("_twin")).persist()
        first = twins.orderBy("sample_id").head()
        if first is None:
            return table
        if self.then == "refuse":
            told = (
                f"{twins.count()} train rows are nearly equal to one of valid or test, such as {first[0]} to {first[1]}"
            )
            raise BadData.at("step decontaminate", f"{told}; `then: put aside` leaves them out")
        doubles = table.frame.join(twins, "sample_id", "left_semi")
        table = table.refusing(doubles, F.lit("nearly equal to a row of valid or test"))
        return table.replacing(table.frame.join(twins, "sample_id", "left_anti"))

    def _name(self, table: Table) -> str:
        if self.column is not None:
            return self.column
        found = comparable(table)
        if len(found) != 1:
            raise BadData.at("step decontaminate", f"column: name a picture or a text; inputs that are one: {found}")
        return found[0]

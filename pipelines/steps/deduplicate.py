"""Removes exact duplicates, or near-duplicate images or texts, before a split can separate them."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator
from pyspark.sql import Window
from pyspark.sql import functions as F

from millstream.pipelines.ops.near_duplicates import Near, near_groups
from millstream.pipelines.spark.frames import named
from millstream.pipelines.table import Learned, Place, Table
from millstream.tracking.dataset.records import Column, Served
from millstream.tracking.errors import BadData

_KEPT = "equal_to"


class Deduplicate(BaseModel, frozen=True, extra="forbid"):
    """Keeps the row with the smallest sample_id of each group; the others are quarantined, with it as `equal_to`.

    | sample_id | text  | ->  | sample_id | text  |   quarantine: b, "equal to another row", {"equal_to": "a", ...}
    | a         | Hello |     | a         | Hello |
    | b         | Hello |

    Near-duplicates chain: if a is near b, and b near c, only a is kept.
    """

    version: ClassVar[int] = 1
    place: ClassVar[Place] = "before split"
    served: ClassVar[Served] = "same"
    train_only: ClassVar[bool] = False

    by: Literal["exact", "image", "text"] = Field(
        description="equal contents; images with near perceptual hashes; texts that share most of their shingles"
    )
    columns: tuple[str, ...] | None = Field(
        None, description="columns compared; default: all inputs (exact), or the only image or text (one column)"
    )
    distance: int = Field(4, ge=0, le=16, description="largest Hamming distance of images' 64-bit perceptual hashes")
    similarity: float = Field(0.8, ge=0.3, le=1, description="smallest Jaccard index of two texts' shingles")
    shingle: int = Field(5, ge=1, le=50, description="characters of a shingle")

    @model_validator(mode="after")
    def _one_column(self) -> Self:
        if self.by != "exact" and self.columns is not None and len(self.columns) != 1:
            raise ValueError(f"columns: by {self.by} compares one column; found {list(self.columns)}")
        return self

    def fit(self, train: Table, seed: int) -> Learned:
        return {}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        """Raises BadData for a column that is missing or of a kind that the method cannot compare."""
        names = self._names(table)
        if self.by == "exact":
            same = Window.partitionBy(*(named(name) for name in names))
            judged = table.frame.withColumn(_KEPT, F.min("sample_id").over(same))
            reason = "equal to another row"
        else:
            near = Near(distance=self.distance, similarity=self.similarity, shingle=self.shingle)
            groups = near_groups(table, names[0], near).withColumnRenamed("group", _KEPT)
            judged = table.frame.join(groups, "sample_id")
            reason = "nearly equal to another row"
        kept = Column(name=_KEPT, dtype="string", role="key", meaning="text")
        wide = Table(judged, (*table.columns, kept), table.refused)
        doubles = judged.where(F.col(_KEPT) != F.col("sample_id"))
        refused = wide.refusing(doubles, F.lit(reason)).refused
        kept = judged.where(F.col(_KEPT) == F.col("sample_id")).select(*map(named, table.frame.columns))
        return Table(kept, table.columns, refused)

    def _names(self, table: Table) -> tuple[str, ...]:
        if self.columns is not None:
            names = self.columns
            missing = [name for name in names if table.column(name) is None]
            if missing:
                message = f"{missing}: no such columns; it has {[column.name for column in table.columns]}"
                raise BadData.at("step deduplicate", message)
            return names
        inputs = [column for column in table.columns if column.role == "input"]
        names = tuple(column.name for column in inputs if self.by in ("exact", column.meaning))
        if not names or (self.by != "exact" and len(names) != 1):
            raise BadData.at(
                "step deduplicate", f"columns: name what is compared; inputs are {[c.name for c in inputs]}"
            )
        return names

"""Keeps the rows that fulfil a condition; the others are dropped, not quarantined."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, Field, field_validator
from pyspark.sql import functions as F

from millstream.pipelines.sql.expressions import refused_word, unreadable
from millstream.pipelines.table import Learned, Place, Table
from millstream.tracking.dataset.records import Served
from millstream.tracking.errors import BadData


class Filter(BaseModel, frozen=True, extra="forbid"):
    """Keeps the rows for which the expression is true; the manifest has the row counts before and after.

    | keep: "split <> 'test' OR known = 0" |
    """

    version: ClassVar[int] = 1
    place: ClassVar[Place] = "any"
    served: ClassVar[Served] = "same"
    train_only: ClassVar[bool] = False
    chooses: ClassVar[bool] = True

    keep: str = Field(description="Spark SQL condition of the rows to keep")

    @field_validator("keep")
    @classmethod
    def _plain(cls, keep: str) -> str:
        if word := refused_word(keep):
            raise ValueError(f"{word!r} has no place in a filter; compare columns and values")
        return keep

    def fit(self, train: Table, seed: int) -> Learned:
        return {}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        """Raises BadData when the expression cannot be computed."""
        if problem := unreadable(table.frame, self.keep, condition=True):
            raise BadData.at("step filter", f"{self.keep}: {problem}")
        return table.keeping(F.expr(self.keep))

"""Row validation: quarantines each row that breaks a rule, with the rule as reason."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, Field, field_validator
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from millstream.pipelines.spark.frames import named
from millstream.pipelines.sql.expressions import refused_word, unreadable
from millstream.pipelines.table import Learned, Place, Table
from millstream.tracking.dataset.records import Served
from millstream.tracking.errors import BadData, Fault


class Validate(BaseModel, frozen=True, extra="forbid"):
    """Keeps the valid rows. A row that breaks several rules is quarantined with the first.

    | age | rules: {age is an age: "age BETWEEN 0 AND 130"} -> | age |   quarantine: 300, "age is an age"
    |  31 |                                                    |  31 |
    | 300 |
    """

    version: ClassVar[int] = 2
    place: ClassVar[Place] = "any"
    served: ClassVar[Served] = "same"
    train_only: ClassVar[bool] = False

    rules: dict[str, str] = Field(
        default_factory=dict, description="name: a Spark SQL condition that valid rows fulfil"
    )
    required: tuple[str, ...] = Field((), description="columns without missing values")
    unique: tuple[str, ...] = Field(
        (), description="columns of unique values; later rows with the same value are quarantined"
    )

    @field_validator("rules")
    @classmethod
    def _plain(cls, rules: dict[str, str]) -> dict[str, str]:
        for name, rule in rules.items():
            if word := refused_word(rule):
                raise ValueError(f"rule {name!r}: {word!r} is not for a rule; compare columns and values")
        return rules

    def fit(self, train: Table, seed: int) -> Learned:
        return {}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        """Raises BadData with every rule that cannot be parsed or names a missing column, or if no row is left."""
        self._check(table)
        frame = table.frame
        reasons = [F.when(named(name).isNull(), F.lit(f"{name} is missing")) for name in self.required]
        for name in self.unique:
            if _is_unique(frame, name):
                continue  # most columns are unique: skip the sort
            # ids are file:line, so a shorter one comes first within a file: line 9 before 10
            order = Window.partitionBy(named(name)).orderBy(F.length("sample_id"), "sample_id")
            frame = frame.withColumn(f"_place_{name}", F.row_number().over(order))
            twice = (named(f"_place_{name}") > 1) & named(name).isNotNull()
            reasons.append(F.when(twice, F.lit(f"{name} comes twice")))
        reasons += [F.when(~F.coalesce(F.expr(rule), F.lit(False)), F.lit(name)) for name, rule in self.rules.items()]
        judged = frame.withColumn("_reason", F.coalesce(*reasons, F.lit(None)))
        judged = judged.drop(*(f"_place_{name}" for name in self.unique))  # drop ignores missing names
        bad = judged.where("_reason IS NOT NULL")
        if not bad.count():  # the usual case: keep the cached rows
            return table
        refused = table.refusing(bad, F.col("_reason")).refused
        return Table(judged.where("_reason IS NULL").drop("_reason"), table.columns, refused)

    def _check(self, table: Table) -> None:
        faults = []
        for name in (*self.required, *self.unique):
            if name not in table.frame.columns:
                faults.append(
                    Fault(where="step validate", message=f"{name!r}: no such column; it has {table.frame.columns}")
                )
        for name, rule in self.rules.items():
            if problem := unreadable(table.frame, rule, condition=True):
                faults.append(Fault(where=f"step validate, rule {name!r}", message=f"{rule}: {problem}"))
        BadData.unless_empty(faults)


def _is_unique(frame: DataFrame, name: str) -> bool:
    counts = frame.where(named(name).isNotNull()).groupBy(named(name)).count()
    # count, as there is nearly always none: `isEmpty` would scan one partition after the other
    return bool(counts.where("count > 1").count() == 0)

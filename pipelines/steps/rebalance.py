"""Gives rare classes more say in training: by more rows, or by weights. Train rows alone, after the split."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field
from pyspark.sql import Window
from pyspark.sql import functions as F

from pipelines.rows import draw, named
from pipelines.table import Learned, Table
from tracking.faults import BadData
from tracking.manifest import Column

WEIGHT = "weight"


class Count(BaseModel, frozen=True, extra="forbid"):
    count: int = Field(ge=1, description="rows of every class that has fewer")


class Ratio(BaseModel, frozen=True, extra="forbid"):
    ratio: float = Field(gt=0, le=1, description="rows of every class that has fewer, as a share of the largest class")


class Rebalance(BaseModel, frozen=True, extra="forbid"):
    """`duplicate` repeats rows of classes under the aim; `weights` adds a column.

    The weight of a row is (rows / (classes * rows of its class)) ** power.

    | label | duplicate -> | sample_id      | parent_id | label |
    | a     |              | 1              |           | a     |
    | a     |              | 2              |           | a     |
    | b     |              | 3              |           | b     |
    |       |              | 3+duplicate-1  | 3         | b     |
    """

    version: ClassVar[int] = 1
    train_only: ClassVar[bool] = True
    fill: ClassVar[dict[str, float]] = {WEIGHT: 1.0}

    method: Literal["none", "duplicate", "weights"]
    column: str | None = Field(None, description="the class; default: the only target category")
    to: Literal["uniform"] | Count | Ratio = Field("uniform", description="the aim of duplicate")
    power: float = Field(1.0, ge=0, le=1, description="of weights: 1 makes classes equal, 0 changes nothing")

    def fit(self, train: Table, seed: int) -> Learned:
        """The plan: rows of each class before and after, and its weight. Raises BadData without a class column."""
        if self.method == "none":
            return {}
        name = self._class(train)
        counts = {row[0]: row[1] for row in train.frame.groupBy(named(name)).count().collect()}
        before = {str(label): count for label, count in sorted(counts.items(), key=lambda one: str(one[0]))}
        if self.method == "duplicate":
            aim = self._aim(max(before.values()))
            return {"column": name, "before": before, "after": {label: max(n, aim) for label, n in before.items()}}
        return {"column": name, "before": before, "weights": class_weights(before, self.power)}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        if self.method == "duplicate":
            return self._duplicate(table, learned, seed)
        return self._weights(table, learned) if self.method == "weights" else table

    def _class(self, train: Table) -> str:
        classes = [column.name for column in train.classes]
        if self.column is not None:
            classes = [self.column] if train.column(self.column) is not None else []
        if len(classes) != 1:
            raise BadData.at("step rebalance", f"column: name the class; columns are {[c.name for c in train.columns]}")
        return classes[0]

    def _aim(self, largest: int) -> int:
        if isinstance(self.to, Count):
            return self.to.count
        return round(largest * self.to.ratio) if isinstance(self.to, Ratio) else largest

    def _duplicate(self, table: Table, learned: Learned, seed: int) -> Table:
        name = learned["column"]
        label = named(name).cast("string")
        order = Window.partitionBy(label).orderBy(F.expr(draw(seed, "rebalance", "sample_id")), "sample_id")
        before, after = (_lookup(learned[key], label) for key in ("before", "after"))
        # row k of n becomes copies k, k + n, k + 2n ... of the rows after the first n
        more = F.floor((after - F.row_number().over(order)) / before).cast("int")
        rows = table.frame.withColumn("_copies", more).where("_copies > 0")
        copies = rows.withColumn("_copy", F.explode(F.sequence(F.lit(1), "_copies")))
        op = F.format_string(json.dumps({"op": "duplicate", "copy": "COPY"}).replace('"COPY"', "%d"), "_copy")
        parent = F.coalesce("parent_id", "sample_id")
        made = copies.withColumns(
            {"parent_id": parent, "op": op, "sample_id": F.format_string("%s+duplicate-%d", "sample_id", "_copy")}
        ).drop("_copies", "_copy")
        return table.replacing(table.frame.unionByName(made))

    def _weights(self, table: Table, learned: Learned) -> Table:
        weight = _lookup(learned["weights"], named(learned["column"]).cast("string")).cast("float")
        column = Column(name=WEIGHT, dtype="float32", role="weight", meaning="number")
        return table.replacing(table.frame.withColumn(WEIGHT, weight), column)


def class_weights(counts: dict[str, int], power: float) -> dict[str, float]:
    """(rows / (classes * rows of the class)) ** power, scaled so that the mean over all rows is 1."""
    total = sum(counts.values())
    raw = {label: (total / (len(counts) * count)) ** power for label, count in counts.items()}
    mean = sum(raw[label] * count for label, count in counts.items()) / total
    return {label: weight / mean for label, weight in raw.items()}


def _lookup(values: dict[str, Any], label: Any) -> Any:
    pairs = [F.lit(one) for pair in values.items() for one in pair]
    return F.element_at(F.create_map(*pairs), label)

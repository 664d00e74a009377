"""Gives rare classes more say in training: by more rows, by fewer of the others, or by weights. Train rows alone."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipelines import copies, smote
from pipelines.rows import draw, named
from pipelines.steps.augment import Augment
from pipelines.table import Learned, Table
from tracking.faults import BadData
from tracking.manifest import Column

WEIGHT = "weight"
SHIFTED = "scores of a model are calibrated to the balanced rows; `prior_correction` of the task brings them back"


class Count(BaseModel, frozen=True, extra="forbid"):
    count: int = Field(ge=1, description="rows of every class that has fewer (undersample: more)")


class Ratio(BaseModel, frozen=True, extra="forbid"):
    ratio: float = Field(gt=0, le=1, description="rows of a rarer class as a share of those of the largest one")


class Rebalance(BaseModel, frozen=True, extra="forbid"):
    """A plan is made first: rows of each class before and after. Rows that are added name their parent.

    | label | duplicate -> | sample_id      | parent_id | label |
    | a     |              | 1              |           | a     |
    | a     |              | 2              |           | a     |
    | b     |              | 3              |           | b     |
    |       |              | 3+duplicate-1  | 3         | b     |

    `smote` puts new rows between a row and one of its nearest neighbours of the same class (Chawla et al. 2002),
    `augment` changes copies by `ops`; `undersample` leaves rows out. `weights` adds a column: the weight of a row is
    (rows / (classes * rows of its class)) ** power.
    """

    version: ClassVar[int] = 3
    train_only: ClassVar[bool] = True
    fill: ClassVar[dict[str, float]] = {WEIGHT: 1.0}

    method: Literal["none", "duplicate", "undersample", "smote", "augment", "weights"]
    column: str | None = Field(None, description="the class; default: the only target category")
    to: Literal["uniform"] | Count | Ratio = Field("uniform", description="the aim: as many of each, a ratio, a count")
    power: float = Field(1.0, ge=0, le=1, description="of weights: 1 makes classes equal, 0 changes nothing")
    neighbours: int = Field(5, ge=1, le=100, description="of smote: among how many nearest rows one is drawn")
    block: int = Field(20_000, ge=100, description="of smote: most rows of a class that are compared at one place")
    ops: tuple[dict[str, float], ...] = Field((), description="of augment: as the step augment has them")
    changed: str | None = Field(None, description="of augment: the column that the ops change; default: what they fit")
    columns: tuple[str, ...] | None = Field(None, description="of smote: those that are mixed; default: all inputs")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.method == "augment") != bool(self.ops):
            raise ValueError("ops: needed for method augment, and for no other")
        if self.ops:
            Augment(ops=self.ops, column=self.changed)
        return self

    def fit(self, train: Table, seed: int) -> Learned:
        """The plan: rows of each class before and after, or weights. Raises BadData without a class column."""
        if self.method == "none":
            return {}
        name = self._class(train)
        counts = {row[0]: row[1] for row in train.frame.groupBy(named(name)).count().collect()}
        before = {str(label): count for label, count in sorted(counts.items(), key=lambda one: str(one[0]))}
        if self.method == "weights":
            return {"column": name, "before": before, "weights": class_weights(before, self.power), "note": SHIFTED}
        after = self._plan(before)
        if self.method == "smote":
            alone = [label for label, count in before.items() if count < 2 and after[label] > count]
            if alone:
                raise BadData.at(
                    "step rebalance", f"classes {alone} have one row: there is nothing between; duplicate them"
                )
        return {"column": name, "before": before, "after": after, "note": SHIFTED}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        if self.method == "none":
            return table
        if self.method == "weights":
            return self._weights(table, learned)
        label = named(learned["column"]).cast("string")
        order = Window.partitionBy(label).orderBy(F.expr(draw(seed, "rebalance", "sample_id")), "sample_id")
        place = F.row_number().over(order)
        after = _lookup(learned["after"], label)
        if self.method == "undersample":
            kept = table.frame.withColumn("_place", place).where(F.col("_place") <= after).drop("_place")
            return table.replacing(kept)
        # row k of n becomes copies k, k + n, k + 2n ... of the rows after the first n
        more = F.floor((after - place) / _lookup(learned["before"], label)).cast("int")
        every = table.replacing(table.frame.withColumn(copies.COPIES, F.greatest(more, F.lit(0))))
        return table.replacing(table.frame.unionByName(self._added(every, table, learned, seed)))

    def _added(self, every: Table, table: Table, learned: Learned, seed: int) -> DataFrame:
        """The new rows; `every` row says how many come of it."""
        asked = every.replacing(every.frame.where(f"{copies.COPIES} > 0"))
        if self.method == "duplicate":
            return copies.duplicated(asked)
        if self.method == "augment":
            return copies.augmented(asked, self.ops, self.changed, seed)
        rare = {one: count for one, count in learned["before"].items() if learned["after"][one] > count}
        if not rare:
            return copies.duplicated(asked)  # of no row
        options = smote.Options(label=learned["column"], neighbours=self.neighbours, block=self.block, seed=seed)
        rows = every.replacing(every.frame.where(named(learned["column"]).cast("string").isin(list(rare))))
        return smote.between(rows, smote.mixed(table, self.columns), options, rare)

    def _class(self, train: Table) -> str:
        classes = [column.name for column in train.classes]
        if self.column is not None:
            classes = [self.column] if train.column(self.column) is not None else []
        if len(classes) != 1:
            raise BadData.at("step rebalance", f"column: name the class; columns are {[c.name for c in train.columns]}")
        return classes[0]

    def _plan(self, before: dict[str, int]) -> dict[str, int]:
        """Rows of each class afterwards: never fewer where rows are added, never more where they are left out."""
        largest, smallest = max(before.values()), min(before.values())
        if self.method == "undersample":
            if isinstance(self.to, Count):
                aim = self.to.count
            else:
                aim = round(smallest / self.to.ratio) if isinstance(self.to, Ratio) else smallest
            return {label: min(count, aim) for label, count in before.items()}
        if isinstance(self.to, Count):
            aim = self.to.count
        else:
            aim = round(largest * self.to.ratio) if isinstance(self.to, Ratio) else largest
        return {label: max(count, aim) for label, count in before.items()}

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


def _lookup(values: dict[str, Any], label: SparkColumn) -> SparkColumn:
    pairs = [F.lit(one) for pair in values.items() for one in pair]
    return F.element_at(F.create_map(*pairs), label)

"""Class balancing of the train split: oversampling, undersampling or row weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from millstream.pipelines.ops import copy_rows, lineage, smote
from millstream.pipelines.spark.frames import draw, named
from millstream.pipelines.steps.augment import Augment
from millstream.pipelines.table import Learned, Place, Table
from millstream.tracking.dataset.class_balance import Plan
from millstream.tracking.dataset.records import Column, Served
from millstream.tracking.errors import BadData

WEIGHT = "weight"
READ = {
    "none": (),
    "duplicate": ("to",),
    "undersample": ("to",),
    "smote": ("to", "neighbours", "block", "columns"),
    "augment": ("to", "ops", "changed", "masks", "boxes", "synonyms"),
    "weights": ("power",),
}
"""The fields that each method reads, besides the class column."""
MOST_WHOLE = 2.0**53
"""Up to here a double represents every integer exactly."""
MOST_CLASSES = 10_000
"""A column of more values is no class; the driver holds one count for each class."""


class Count(BaseModel, frozen=True, extra="forbid"):
    count: int = Field(ge=1, description="rows to reach for every class that has fewer (undersample: more)")


class Ratio(BaseModel, frozen=True, extra="forbid"):
    ratio: float = Field(gt=0, le=1, description="rows of a rarer class as a share of the largest class")


class Rebalance(BaseModel, frozen=True, extra="forbid"):
    """First plans the rows of each class before and after. Added rows have their original as parent.

    | label | duplicate -> | sample_id      | parent_id | label |
    | a     |              | 1              |           | a     |
    | a     |              | 2              |           | a     |
    | b     |              | 3              |           | b     |
    |       |              | 3+duplicate-1  | 3         | b     |

    `smote` interpolates between a row and one of its nearest neighbours of the same class (Chawla et al. 2002),
    `augment` adds copies augmented by `ops`, masks and boxes with the image; `undersample` drops rows. `weights`
    adds a column: the weight of a row is (rows / (classes * rows of its class)) ** power.

    A second step of a kind names its rows `+duplicate2-1`; in a copy of a copy, `before` holds the earlier op.
    """

    version: ClassVar[int] = 5
    place: ClassVar[Place] = "after split"
    served: ClassVar[Served] = "same"
    train_only: ClassVar[bool] = True
    fill: ClassVar[dict[str, float]] = {WEIGHT: 1.0}

    method: Literal["none", "duplicate", "undersample", "smote", "augment", "weights"] = Field(
        description="how the classes are balanced in train: by copied, removed or synthetic rows, or by weights"
    )
    column: str | None = Field(None, description="class column; default: the only target category")
    to: Literal["uniform"] | Count | Ratio = Field(
        "uniform", description="aim: the same for all classes, a ratio or a count"
    )
    power: float = Field(1.0, ge=0, le=1, description="weights: exponent; 1 makes classes equal, 0 changes nothing")
    neighbours: int = Field(5, ge=1, le=100, description="smote: number of nearest neighbours to draw from")
    block: int = Field(20_000, ge=100, description="smote: largest number of rows of a class compared in a worker")
    ops: tuple[dict[str, float], ...] = Field((), description="augment: ops of the step augment")
    changed: str | None = Field(None, description="augment: column to augment; default: what the ops fit")
    masks: tuple[str, ...] = Field((), description="augment: masks transformed with the image, as in the step augment")
    boxes: str | None = Field(None, description="augment: boxes (N, 4) transformed with the image, as in the step")
    synonyms: dict[str, tuple[str, ...]] = Field({}, description="augment: replacements for the op synonyms")
    columns: tuple[str, ...] | None = Field(None, description="smote: columns to interpolate; default: all inputs")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.method == "augment" and not self.ops:
            raise ValueError("ops: needed for method augment")
        if self.ops:
            _ = self._augment
        # `none` is the baseline of comparisons: it may keep the fields of other methods
        read = {"method", "column", *READ[self.method]}
        unread = sorted(self.model_fields_set - read) if self.method != "none" else []
        if unread:
            message = f"not read by method {self.method}, which reads {', '.join(READ[self.method])}"
            raise ValueError(f"{', '.join(unread)}: {message}")
        return self

    @property
    def _augment(self) -> Augment:
        """The step that the method augment applies."""
        moved = {"masks": self.masks, "boxes": self.boxes}
        return Augment.model_validate({"ops": self.ops, "column": self.changed, "synonyms": self.synonyms, **moved})

    @property
    def resamples(self) -> bool:
        return self.method not in ("none", "weights")

    def fit(self, train: Table, seed: int) -> Learned:
        """The plan: rows of each class before and after, or weights.

        Raises BadData without a class column, for too many classes, for a class of a single row with smote, and as the
        step augment does.
        """
        if self.method == "none":
            return {}
        column = self._class(train)
        before = _counts(train, column)
        if self.method == "weights":
            after, weights = before, class_weights(before, self.power)
        else:
            after, weights = self._aims(before), None
        alone = [name for name, count in before.items() if count < 2 and after[name] > count]
        if self.method == "smote" and alone:
            raise BadData.at(
                "step rebalance", f"classes {alone} have one row: there is nothing between; duplicate them"
            )
        learned = self._augment.fit(train, seed) if self.method == "augment" else {}
        plan = Plan(column=column.name, method=self.method, before=before, after=after, weights=weights, **learned)
        return plan.model_dump(mode="json")

    def plan(self, learned: Learned) -> list[str]:
        return Plan.model_validate(learned).lines() if learned else []

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        if self.method == "none":
            return table
        plan = Plan.model_validate(learned)
        label = _class_name(table, plan.column)
        if plan.weights is not None:
            table.check_new("step rebalance, method weights", WEIGHT)
            weight = _lookup(plan.weights, label).cast("float")
            column = Column(name=WEIGHT, dtype="float32", role="weight", meaning="number")
            return table.replacing(table.frame.withColumn(WEIGHT, weight), column)
        order = Window.partitionBy(label).orderBy(F.expr(draw(seed, "rebalance", "sample_id")), "sample_id")
        place = F.row_number().over(order)
        after = _lookup(plan.after, label)
        if self.method == "undersample":
            kept = table.frame.withColumn("_place", place).where(F.col("_place") <= after).drop("_place")
            return table.replacing(kept)
        # row k of n becomes copies k, k + n, k + 2n ... of the rows after the first n
        more = F.floor((after - place) / _lookup(plan.before, label)).cast("int")
        every = table.replacing(table.frame.withColumn(copy_rows.COPIES, F.greatest(more, F.lit(0))))
        return table.replacing(table.frame.unionByName(self._added(every, table, plan, seed)))

    def _added(self, every: Table, table: Table, plan: Plan, seed: int) -> DataFrame:
        """The new rows; the column `_copies` of `every` has the number made from each row."""
        copied = every.replacing(every.frame.where(f"{copy_rows.COPIES} > 0"))
        name = lineage.free_name(table.frame, "rebalance" if self.method == "augment" else self.method)
        if self.method == "duplicate":
            return copy_rows.duplicated(copied, name)
        if self.method == "augment":
            learned, step = {"deviations": plan.deviations}, self._augment
            return copy_rows.augmented(copied, lambda plain, rows: step.made(plain, rows, learned, seed, name))
        rare = {one: count for one, count in plan.before.items() if plan.after[one] > count}
        if not rare:
            return copy_rows.duplicated(copied, name)  # no rows
        label = _class_name(table, plan.column)
        options = smote.Options(neighbours=self.neighbours, block=self.block, seed=seed, name=name)
        rows = every.replacing(every.frame.where(label.isin(list(rare))))
        return smote.between(rows, smote.mixed(table, self.columns), options, label, rare)

    def _class(self, train: Table) -> Column:
        chosen = train.classes if self.column is None else (train.column(self.column),)
        classes = [column for column in chosen if column is not None and column.layout == "scalar"]
        if len(classes) != 1:
            raise BadData.at("step rebalance", f"column: name the class; columns are {[c.name for c in train.columns]}")
        return classes[0]

    def _aims(self, before: dict[str, int]) -> dict[str, int]:
        """Rows of each class after balancing: never fewer when oversampling, never more when undersampling."""
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


def class_weights(counts: dict[str, int], power: float) -> dict[str, float]:
    """(rows / (classes * rows of the class)) ** power, scaled so that the mean over all rows is 1."""
    total = sum(counts.values())
    raw = {label: (total / (len(counts) * count)) ** power for label, count in counts.items()}
    mean = sum(raw[label] * count for label, count in counts.items()) / total
    return {label: weight / mean for label, weight in raw.items()}


def _counts(train: Table, column: Column) -> dict[str, int]:
    """Rows of each class by its name."""
    counted = train.frame.groupBy(_class_name(train, column.name)).count().limit(MOST_CLASSES + 1).collect()
    if len(counted) > MOST_CLASSES:
        raise BadData.at(
            "step rebalance", f"column: {column.name} has more than {MOST_CLASSES:,} values; name the class"
        )
    missing = sum(row[1] for row in counted if row[0] is None)
    if missing:
        raise BadData.at(
            "step rebalance", f"{column.name}: {missing} rows are of no class; validate with required first"
        )
    counts = {row[0]: row[1] for row in counted}
    order = column.classes or sorted(counts)
    return {name: counts[name] for name in order if name in counts}


def _class_name(table: Table, name: str) -> SparkColumn:
    """The class name of a row as text; where the column was encoded, the class of that number.

    An integer has no decimal point, a text is never reformatted; NaN is no class.
    """
    column, value = table.column(name), named(name)
    if column is None or column.classes is None or column.dtype == "string":
        text = value.cast("string")
        if column is None or not column.dtype.startswith("float"):
            return text
        is_whole = (value == F.rint(value)) & (F.abs(value) < MOST_WHOLE)
        return F.when(is_whole, value.cast("bigint").cast("string")).when(~F.isnan(value), text)
    return F.element_at(F.array(*map(F.lit, column.classes)), named(name).cast("int") + 1)


def _lookup(values: Mapping[str, float], label: SparkColumn) -> SparkColumn:
    pairs = [F.lit(one) for pair in values.items() for one in pair]
    return F.element_at(F.create_map(*pairs), label)

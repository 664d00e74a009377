"""Says which split each row belongs to, before anything is learned from any row.

The draw is a hash of (seed, key), so it is the same whatever the partitions, and rows that share a key stay together.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator
from pyspark.sql import Window
from pyspark.sql import functions as F

from pipelines.rows import draw, named, share
from pipelines.table import Learned, Table
from tracking.faults import BadData


class Split(BaseModel, frozen=True, extra="forbid"):
    """`hash`: by a draw for each key. `stratified`: with exact shares of each class. `given`: as the source says.

    | by: hash, test: 0.2 | sample_id | -> | split |
    |                     | a         |    | train |
    |                     | b         |    | test  |
    """

    version: ClassVar[int] = 1
    train_only: ClassVar[bool] = False

    by: Literal["hash", "stratified", "given"]
    valid: float = Field(0.0, ge=0, lt=1, description="share of rows for valid; of the given train rows with `given`")
    test: float = Field(0.0, ge=0, lt=1, description="share of rows for test; not with `given`")
    key: str | None = Field(None, description="rows with equal keys are never separated; default: each row alone")
    stratify: str | None = Field(
        None, description="the class column of `stratified`; default: the only target category"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.by == "given" and self.test:
            raise ValueError("test: the source gives the test rows; leave it out, or split by hash")
        if self.valid + self.test >= 1:
            raise ValueError(f"valid {self.valid} + test {self.test} leave nothing to train on")
        if self.by == "stratified" and self.key:
            raise ValueError("key: a stratified split draws single rows; use by: hash to keep groups together")
        return self

    def fit(self, train: Table, seed: int) -> Learned:
        return {}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        """Raises BadData when the source gives no split, a row's split is unknown, or a class has too few rows."""
        key = self.key or "sample_id"
        # a source may keep an id that is no column: `id` stands for the row itself
        key = "sample_id" if key == "id" and table.column("id") is None else key
        if key not in table.frame.columns:
            raise BadData.at("step split", f"key {key!r}: no such column; it has {table.frame.columns}")
        drawn = share(draw(seed, "split", key))
        if self.by == "stratified":
            return self._stratified(table, drawn)
        if self.by == "given":
            _check_given(table)
            chosen = f"CASE WHEN split = 'train' AND {drawn} < {self.valid!r} THEN 'valid' ELSE split END"
        else:
            tested, held = self.test, self.test + self.valid
            chosen = f"CASE WHEN {drawn} < {tested!r} THEN 'test' WHEN {drawn} < {held!r} THEN 'valid' ELSE 'train' END"
        return table.replacing(table.frame.withColumn("split", F.expr(chosen)))

    def _stratified(self, table: Table, drawn: str) -> Table:
        name = self.stratify or _only_class(table)
        place = F.row_number().over(Window.partitionBy(named(name)).orderBy(F.expr(drawn), "sample_id")) - 1
        count = F.count(F.lit(1)).over(Window.partitionBy(named(name)))
        frame = table.frame.withColumn("_place", place).withColumn("_count", count)
        needed = 1 + (self.valid > 0) + (self.test > 0)
        small = frame.where(F.col("_count") < needed).select(named(name)).distinct().limit(5).collect()
        if small:
            told = ", ".join(repr(row[0]) for row in small)
            raise BadData.at(
                "step split", f"{name} {told}: fewer than {needed} rows, one for each split; drop the class"
            )
        test = F.when(F.lit(self.test) > 0, F.greatest(F.lit(1), F.round(F.col("_count") * self.test))).otherwise(0)
        valid = F.when(F.lit(self.valid) > 0, F.greatest(F.lit(1), F.round(F.col("_count") * self.valid))).otherwise(0)
        split = F.when(F.col("_place") < test, "test").when(F.col("_place") < test + valid, "valid").otherwise("train")
        return table.replacing(frame.withColumn("split", split).drop("_place", "_count"))


def _check_given(table: Table) -> None:
    found = {row[0] for row in table.frame.select("split").distinct().collect()}
    unknown = found - {"train", "valid", "test"}
    if unknown or "train" not in found:
        told = f"the source gives {sorted(map(str, found))}"
        raise BadData.at("step split", f"{told}; by: given needs train, valid or test for each row; use by: hash")


def _only_class(table: Table) -> str:
    classes = [column.name for column in table.classes]
    if len(classes) != 1:
        raise BadData.at("step split", f"stratify: name the class column; target categories are {classes}")
    return classes[0]

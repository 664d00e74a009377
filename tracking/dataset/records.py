"""Basic records of a manifest: columns and preparation steps."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from millstream.tracking.formulas.expressions import Formula

Role = Literal["input", "target", "weight", "mask", "key"]


Served = Literal["same", "replayed", "brought"]
"""How a served model handles a step: it leaves the inputs of a row unchanged; it is replayed; or the caller supplies
its columns, since they depend on other rows."""


Layout = Literal["scalar", "tensor", "list"]


Meaning = Literal["number", "category", "image", "mask", "video", "series", "tokens", "text", "vector"]


class Record(BaseModel, frozen=True, extra="forbid"):
    pass


class Affine(Record):
    """y = (x - offset) * factor, applied to tensors when a batch is collated; the stored bytes stay raw."""

    offset: float = 0.0
    factor: float = 1.0


class Column(Record):
    """One column of the Parquet files.

    `scalar`: a plain Parquet value. `tensor`: raw little-endian bytes in a binary column, `shape` without the row axis.
    `list`: a Parquet list of variable length, `shape` = (longest,).
    """

    name: str
    dtype: str = Field(description="numpy name: uint8, int64, float32, ..., or string")
    layout: Layout = "scalar"
    shape: tuple[int, ...] = ()
    axes: str = Field("", description="names of the shape's axes, such as CHW or T")
    role: Role
    meaning: Meaning
    unit: str = ""
    classes: tuple[str, ...] | None = Field(None, description="label of each integer code of a category, in order")
    vocabulary: tuple[str, ...] | None = Field(None, description="token of each token id; 0 is padding, 1 unknown")
    affine: Affine | None = None


class Computed(Record):
    """A column computed from others of the same row, so that serving can compute it too."""

    formula: Formula
    role: Role
    reads: tuple[Column, ...] = Field(description="input columns, as they were before the step")
    nullable: bool = Field(False, exclude_if=lambda nullable: not nullable, description="whether it may be null")


class Serving(Record):
    """How a served model handles a step: what the step's class declares, and the columns that the step added."""

    does: Served
    brought: tuple[str, ...] = Field((), description="columns it added that the caller of a served model supplies")
    computed: dict[str, Computed] = Field({}, description="columns it added that serving computes")


class Step(Record):
    """An executed preparation step; `learned` is what it fitted on the train split."""

    name: str
    version: int
    config: dict[str, Any]
    learned: dict[str, Any]
    rows_in: int
    rows_out: int
    seconds: float
    served: Serving | None = Field(None, description="null in older manifests")

"""Signature of a dataset: the input tensors of a network, and the target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from millstream.tracking.dataset.records import Column, Meaning, Record
from millstream.tracking.errors import BadData


class InputField(Record):
    """One input tensor of a network (or the target).

    All scalar numbers of a table form one float32 tensor (B, D) called `numbers`, all scalar categories one int64
    tensor (B, D) called `categories`; any other column is its own tensor, named after the column.
    A list, such as tokens, is ragged: int64 (B, T), padded with 0, and the lengths int64 (B,).
    """

    name: str
    meaning: Meaning
    dtype: str
    shape: tuple[int, ...]
    columns: tuple[Column, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of distinct values of each category, in the order of `columns`."""
        return tuple(len(column.classes or ()) for column in self.columns)


class Shares(Record):
    """Class shares of the target in the train split, in class order."""

    given: tuple[float, ...] = Field(description="before rebalancing")
    trained: tuple[float, ...] = Field(description="in training: after rebalancing, by weight")
    strangers: tuple[str, ...] = Field((), description="rebalanced classes that are not classes of the target")


class Signature(Record):
    """What a network is built from: its input tensors and targets."""

    inputs: tuple[InputField, ...]
    targets: tuple[InputField, ...] = ()
    weighted: bool = False
    shares: Shares | None = Field(None, description="class shares, if the classes of the target were rebalanced")

    @model_validator(mode="before")
    @classmethod
    def _of_one_target(cls, values: Any) -> Any:
        """Accepts models saved with a single `target`, before several were supported."""
        if isinstance(values, dict) and "target" in values:
            rest = {name: value for name, value in values.items() if name != "target"}
            return {**rest, "targets": () if values["target"] is None else (values["target"],)}
        return values

    @classmethod
    def of(cls, columns: Sequence[Column], targets: Sequence[str] = ()) -> Signature:
        """The signature of these columns for a task with the target columns `targets`, in their order."""
        inputs = [column for column in columns if column.role == "input" and column.name not in targets]
        by_name = {column.name: column for column in columns}
        weighted = any(column.role == "weight" for column in columns)
        return cls(
            inputs=tuple(fields_of(inputs)),
            targets=tuple(field_of(by_name[name]) for name in targets if name in by_name),
            weighted=weighted,
        )

    @property
    def target(self) -> InputField | None:
        """The target of a single-target task; the first of several."""
        return self.targets[0] if self.targets else None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the target's classes; empty unless the target is a category."""
        return (self.target.columns[0].classes or ()) if self.target else ()

    @property
    def outputs(self) -> int:
        """Output size: one per class or token, or the size of a numeric target.

        Raises BadData without a target.
        """
        if self.target is None:
            raise BadData.at("network", "needs a target to know how many outputs it has; give the task one")
        return len(self.classes) or len(self.target.columns[0].vocabulary or ()) or math.prod(self.target.shape)

    def with_outputs(self, numbers: int) -> Signature:
        """The signature for a network with `numbers` outputs per row: the parameters of a distribution, say.

        Raises BadData without a target.
        """
        if self.target is None:
            raise BadData.at("network", "needs a target to predict; give the task one")
        column = self.target.columns[0].model_copy(update={"classes": None})
        vector = {"meaning": "vector", "dtype": "float32", "shape": (numbers,), "columns": (column,)}
        return self.model_copy(update={"targets": (self.target.model_copy(update=vector),)})

    def single(self, meaning: Meaning) -> InputField:
        """The only input, which must have this meaning.

        Raises BadData if there are other inputs or none.
        """
        if len(self.inputs) != 1 or self.inputs[0].meaning != meaning:
            fields = ", ".join(f"{field.name} ({field.meaning}, {field.shape})" for field in self.inputs) or "none"
            raise BadData.at("network", f"takes one input that is {meaning}; the dataset has {fields}")
        return self.inputs[0]


def fields_of(columns: list[Column]) -> list[InputField]:
    numbers = tuple(c for c in columns if c.layout == "scalar" and c.meaning == "number")
    categories = tuple(c for c in columns if c.layout == "scalar" and c.meaning == "category")
    rest = [c for c in columns if c not in numbers and c not in categories and c.dtype != "string"]
    fields = [field_of(column) for column in rest]
    if numbers:
        fields.append(
            InputField(name="numbers", meaning="number", dtype="float32", shape=(len(numbers),), columns=numbers)
        )
    if categories:
        shape = (len(categories),)
        fields.append(InputField(name="categories", meaning="category", dtype="int64", shape=shape, columns=categories))
    return fields


def field_of(column: Column) -> InputField:
    whole = np.issubdtype(np.dtype(column.dtype), np.integer) and column.affine is None and column.meaning != "number"
    dtype = "int64" if whole else "float32"
    return InputField(name=column.name, meaning=column.meaning, dtype=dtype, shape=column.shape, columns=(column,))

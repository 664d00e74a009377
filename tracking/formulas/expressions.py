"""Expressions of a row as Spark has analysed them, computed again without Spark: how a served model gets its features.

A formula is what Spark made of an expression in a recipe: its own operators, with their types and every cast written
down. So there is nothing here of how SQL is read. What each operator does stands in `formula_operators.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
from pydantic import BaseModel

from millstream.tracking.formulas.cells import Cells, dtype_of, filler
from millstream.tracking.formulas.operators import OPERATORS

COLUMN, LITERAL = "Column", "Literal"


class Formula(BaseModel, frozen=True, extra="forbid"):
    """An operator of Spark over other formulas; or a column of the row, or a constant."""

    operator: str
    type: str
    """Of what comes out, as Spark SQL calls it."""
    value: bool | int | float | str | None = None
    """A column's name, or a constant: a date as days and a time as microseconds since 1970, a decimal without point."""
    of: tuple[Self, ...] = ()

    @property
    def inputs(self) -> dict[str, str]:
        """The columns that are read, and their types."""
        own = {str(self.value): self.type} if self.operator == COLUMN else {}
        return own | {name: kind for part in self.of for name, kind in part.inputs.items()}

    @property
    def is_known(self) -> bool:
        """Whether it can be computed here just as Spark computes it."""
        if self.operator in (COLUMN, LITERAL):
            return dtype_of(self.type) is not None
        operator = OPERATORS.get(self.operator)
        types = [part.type for part in self.of]
        return operator is not None and operator.takes(self.type, types) and all(part.is_known for part in self.of)

    def of_cells(self, columns: Mapping[str, Cells], rows: int) -> Cells:
        """What comes out for each row."""
        if self.operator == COLUMN:
            return columns[str(self.value)]
        if self.operator == LITERAL:
            cells = np.full(rows, filler(self.type) if self.value is None else self.value, dtype_of(self.type))
            return Cells(cells, np.full(rows, self.value is not None))
        parts = [part.of_cells(columns, rows) for part in self.of]
        with np.errstate(all="ignore"):
            found = OPERATORS[self.operator].computed(self.type, [part.type for part in self.of], parts)
        values = found.values.copy()  # a part may be given as it is
        values[~found.known] = filler(self.type)
        return Cells(values, found.known)

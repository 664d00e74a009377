"""Spark expressions evaluated without Spark, so that a served model computes its features.

A formula is the expression tree of Spark's analyser: its operators, with types and explicit casts. So no SQL is parsed
here. The operators are in `operators.py`.
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
    """A Spark operator over other formulas; or a column of the row, or a constant."""

    operator: str
    type: str
    """Result type, by its name in Spark SQL."""
    value: bool | int | float | str | None = None
    """Column name, or constant: dates in days and times in microseconds since 1970, decimals unscaled."""
    of: tuple[Self, ...] = ()

    @property
    def inputs(self) -> dict[str, str]:
        """Input columns with their types."""
        own = {str(self.value): self.type} if self.operator == COLUMN else {}
        return own | {name: kind for part in self.of for name, kind in part.inputs.items()}

    @property
    def is_known(self) -> bool:
        """Whether all operators are implemented here for these types, exactly as in Spark."""
        if self.operator in (COLUMN, LITERAL):
            return dtype_of(self.type) is not None
        operator = OPERATORS.get(self.operator)
        types = [part.type for part in self.of]
        return operator is not None and operator.takes(self.type, types) and all(part.is_known for part in self.of)

    def of_cells(self, columns: Mapping[str, Cells], rows: int) -> Cells:
        """Result for each row."""
        if self.operator == COLUMN:
            return columns[str(self.value)]
        if self.operator == LITERAL:
            cells = np.full(rows, filler(self.type) if self.value is None else self.value, dtype_of(self.type))
            return Cells(cells, np.full(rows, self.value is not None))
        parts = [part.of_cells(columns, rows) for part in self.of]
        with np.errstate(all="ignore"):
            computed = OPERATORS[self.operator].computed(self.type, [part.type for part in self.of], parts)
        values = computed.values.copy()  # an operator may return its input unchanged
        values[~computed.known] = filler(self.type)
        return Cells(values, computed.known)

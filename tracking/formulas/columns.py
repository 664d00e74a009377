"""Converts pandas columns to cells of formulas and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from millstream.tracking.errors import BadData
from millstream.tracking.formulas.cells import INTS, Cells, dtype_of, filler
from millstream.tracking.formulas.expressions import Formula


def computed(formula: Formula, rows: pd.DataFrame) -> Cells:
    """Result of the formula for each row. Raises BadData for a cell that is not of its column's type."""
    cells = {name: _cells(rows[name], kind) for name, kind in formula.inputs.items()}
    return formula.of_cells(cells, len(rows))


def column_of(cells: Cells, kind: str) -> pd.Series[Any]:
    """The result as a column; integers stay integers, also with missing values."""
    if kind == "string":
        return pd.Series(cells.values, dtype=object).where(cells.known, None)
    values = pd.Series(cells.values)
    if kind in INTS:
        return values if cells.known.all() else values.astype("Int64").where(cells.known)
    return values.where(cells.known)


def _cells(values: pd.Series[Any], kind: str) -> Cells:
    known = values.notna().to_numpy(bool)
    cells, held = np.full(len(values), filler(kind), dtype_of(kind)), values[known]
    try:
        if kind == "timestamp":
            times = pd.to_datetime(held, utc=True).dt.tz_localize(None)
            held = times.astype("datetime64[us]").astype("int64")
        elif kind == "string":
            held = held.map(str)
        elif kind in INTS:
            held = held.map(_whole)
        cells[known] = held.to_numpy(dtype_of(kind))
    except (ValueError, TypeError, OverflowError) as error:
        raise BadData.at(f"input column {values.name!r}", f"holds what is no {kind} ({error})") from None
    return Cells(cells, known)


def _whole(value: Any) -> int:
    if value != int(value):
        raise ValueError(f"{value!r} is no whole number")
    return int(value)

"""Columns computed from others of the same row."""

from __future__ import annotations

import pandas as pd

from millstream.tracking.dataset.records import Column, Computed
from millstream.tracking.errors import BadData
from millstream.tracking.formulas.columns import column_of, computed
from millstream.tracking.serving.column_change import Kind, Learned, put


def _compute(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    """Raises BadData for a null result, as in preparation."""
    facts = Computed.model_validate(learned)
    cells = computed(facts.formula, frame)
    if facts.role != "key" and not facts.nullable and not cells.known.all():
        row = int((~cells.known).argmax())
        message = (
            f"is null in row {row} ({int((~cells.known).sum())} such rows); give {sorted(facts.formula.inputs)} values"
        )
        raise BadData.at(f"feature {name!r}", message)
    return put(frame, name, column_of(cells, facts.formula.type).to_numpy())


def _leave_out(frame: pd.DataFrame, name: str, learned: Learned) -> pd.DataFrame:
    return frame.drop(columns=name)


def _before(column: Column, name: str, learned: Learned) -> tuple[Column, ...]:
    return Computed.model_validate(learned).reads if column.name == name else (column,)


KINDS = {"": Kind(_compute, _leave_out, _before)}

"""Sliding windows of a series, which the feed cuts according to the step `window` in the manifest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from millstream.tracking.dataset.records import Column, Step
    from millstream.tracking.dataset.signature import InputField

STEP = "window"
SERIES, LENGTH = "series", "length"
"""Columns of the step: blocks of time steps, and the number of real steps of each block."""


class Windows(BaseModel, frozen=True):
    """A window has `look_back` input steps followed by `horizon` target steps."""

    look_back: int
    horizon: int
    stride: int
    block: int

    @classmethod
    def of(cls, steps: Iterable[Step]) -> Windows | None:
        """None for a dataset whose rows are the samples."""
        learned = next((step.learned for step in steps if step.name == STEP), None)
        return None if learned is None else cls(**{name: learned[name] for name in cls.model_fields})

    @property
    def steps(self) -> int:
        return self.look_back + self.horizon

    def cut(self, field: InputField, steps: int) -> InputField:
        """The tensor with `steps` steps of the series; other columns unchanged."""
        return field.model_copy(update={"shape": (steps, *field.shape[1:])}) if field.name == SERIES else field

    def cut_column(self, column: Column, steps: int) -> Column:
        """The column of a window in place of a block."""
        shape = (steps, *column.shape[1:])
        return column.model_copy(update={"shape": shape}) if column.name == SERIES else column

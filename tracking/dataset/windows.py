"""Windows that the feed cuts from a series: what the step `window` wrote into the manifest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from millstream.tracking.dataset.records import Step
    from millstream.tracking.dataset.signature import InputField

STEP = "window"
SERIES, LENGTH = "series", "length"
"""The columns that the step makes: blocks of time steps, and how many steps of each block are real."""


class Windows(BaseModel, frozen=True):
    """A window is `look_back` steps that are read and `horizon` steps behind them that are told."""

    look_back: int
    horizon: int
    stride: int
    block: int

    @classmethod
    def of(cls, steps: Iterable[Step]) -> Windows | None:
        """None for a dataset whose rows are samples as they stand."""
        learned = next((step.learned for step in steps if step.name == STEP), None)
        return None if learned is None else cls(**{name: learned[name] for name in cls.model_fields})

    @property
    def steps(self) -> int:
        return self.look_back + self.horizon

    def cut(self, field: InputField, steps: int) -> InputField:
        """The tensor of `steps` steps of the series; any other column as it is."""
        return field.model_copy(update={"shape": (steps, *field.shape[1:])}) if field.name == SERIES else field

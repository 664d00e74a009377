"""When training ends before its last epoch, as a recipe says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    pass


class EarlyStop(BaseModel, frozen=True, extra="forbid"):
    """Prechelt 1998, doi:10.1007/3-540-49430-8_3. `keep: best` keeps the weights from before the wait."""

    patience: int = Field(ge=1, description="looks at valid in a row, none better than the best, before the end")
    least: float = Field(0.0, ge=0, description="how much better counts as better")

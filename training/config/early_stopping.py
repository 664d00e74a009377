"""Recipe fields of early stopping."""

from __future__ import annotations

from pydantic import BaseModel, Field


class EarlyStop(BaseModel, frozen=True, extra="forbid"):
    """Prechelt 1998, doi:10.1007/3-540-49430-8_3. `keep: best` keeps the weights of the best validation."""

    patience: int = Field(ge=1, description="validations in a row without improvement before training stops")
    least: float = Field(0.0, ge=0, description="smallest change of `monitor` that counts as an improvement")

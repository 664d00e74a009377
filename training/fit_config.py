"""The `fit` section of a recipe: how a model is trained, whatever it is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from training.feed.reading import Reading
from training.optimizers import AdamW, AnyOptimizer, AnySchedule, Constant


class Fit(Reading, frozen=True, extra="forbid"):
    """Fields that every task shares; a task's own stand in its own section."""

    epochs: int = Field(10, ge=1, description="passes over the train split")
    optimizer: AnyOptimizer = Field(default_factory=lambda: AdamW(name="adamw"))
    schedule: AnySchedule = Constant()
    clip: float | None = Field(None, gt=0, description="largest norm of the gradient")
    keep: Literal["last", "best"] = Field(
        "last", description="which weights become the model; best by `monitor` on valid"
    )
    monitor: str = Field("valid/loss", pattern=r"^valid/", description="the metric that `best` looks at")
    direction: Literal["min", "max"] = Field("min", description="which way `monitor` is better")
    validate_every: int = Field(1, ge=1, description="epochs between two looks at the valid split")
    checkpoint_every: int | None = Field(None, ge=1, description="steps between two checkpoints; default: each epoch")
    threads: int | None = Field(None, ge=1, description="threads of torch; default: its own choice")

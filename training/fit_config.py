"""The `fit` section of a recipe: how a model is trained, whatever it is."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from training.optimizers import AdamW, AnyOptimizer, AnySchedule, Constant


class Fit(BaseModel, frozen=True, extra="forbid"):
    """Fields that every task shares; a task's own stand in its own section."""

    epochs: int = Field(10, ge=1, description="passes over the train split")
    batch_size: int = Field(128, ge=1, description="samples in a global batch, over all ranks")
    seed: int = Field(0, ge=0, description="what every random draw follows from")
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
    lanes: int | None = Field(
        None, ge=1, description="lanes of the feed; default: the largest of 8, 4, 2, 1 that divides"
    )
    engine: Literal["petastorm", "arrow"] | None = Field(None, description="reader; default: petastorm where installed")
    memory: Literal["auto", "cached", "streamed"] = Field("auto", description="whether a split is held decoded")
    window_mib: int = Field(
        256, ge=1, description="shuffle window of the feed; a split that fits is permuted as a whole"
    )

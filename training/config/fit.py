"""The `fit` section of a recipe: training configuration common to all models.

`millstream check RECIPE --fields` shows these fields with a recipe's values.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from millstream.tracking.recipe.schema import Direction
from millstream.training.config.averaging import SWA, AnyAverage
from millstream.training.config.early_stopping import EarlyStop
from millstream.training.config.optimizers import LBFGS, AdamW, AnyOptimizer
from millstream.training.config.schedules import AnySchedule, Constant
from millstream.training.feed.plan.config import Reading

Initialisation = Literal["zeros", "uniform", "xavier", "he", "orthogonal"]
USUAL: Literal["adamw"] = "adamw"
"""The default optimizer."""
OF_STEPS = (
    *("accumulate", "average", "channels_last", "clip", "compile", "early_stop", "exact", "init", "keep", "l1", "l2"),
    *("nan", "optimizer", "optimizers", "precision", "schedule", "sync_batch_norm", "warm_up"),
)
"""Fields of gradient steps, without effect on an estimator."""


class Fit(Reading, frozen=True, extra="forbid"):
    """Fields common to all tasks; a task's own fields are in its own section."""

    epochs: int = Field(10, ge=1, description="passes over the train split")
    accumulate: int = Field(
        1, ge=1, description="micro-batches per step (gradient accumulation); the update equals that of the full batch"
    )
    init: Initialisation | None = Field(
        None,
        description="weight initialization of linear, convolutional, recurrent and attention layers; "
        "default: the network's own",
    )
    optimizer: AnyOptimizer = Field(default_factory=lambda: AdamW(name=USUAL), description="optimizer; default: adamw")
    optimizers: dict[str, AnyOptimizer] = Field(
        {}, description="optimizer per part, for a task with several optimizers: {discriminator: {name: adam}}"
    )
    schedule: AnySchedule = Field(Constant(), description="learning rate schedule over the steps")
    warm_up: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="fraction of the steps with linear warm-up of the learning rate, before the schedule",
    )
    l1: float = Field(0.0, ge=0, description="L1 penalty: coefficient of sum |w|, without biases and norms")
    l2: float = Field(0.0, ge=0, description="L2 penalty: coefficient of sum w^2 / 2, without biases and norms")
    clip: float | None = Field(None, gt=0, description="maximum gradient norm (clipping)")
    nan: Literal["stop", "skip"] = Field(
        "stop", description="on a non-finite loss or gradient: stop training, or skip the step"
    )
    average: AnyAverage | None = Field(
        None, description="weight averaging (ema, swa): the model is the averaged weights"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="precision of the network's arithmetic; weights are always float32"
    )
    compile: bool = Field(False, description="compile the network and its loss with torch.compile")
    channels_last: bool = Field(
        False, description="channels-last (NHWC) memory format, with which most convolutions are faster"
    )
    monitor: str = Field("valid/loss", pattern=r"^valid/", description="validation metric to monitor")
    direction: Direction | None = Field(
        None, description="direction of improvement of `monitor`; default: as the task declares it"
    )
    validate_every: int = Field(1, ge=1, description="epochs between two validations")
    keep: Literal["last", "best"] = Field(
        "last", description="which weights become the model: the last, or those of the best `monitor`"
    )
    early_stop: EarlyStop | None = Field(None, description="stop when `monitor` no longer improves")
    checkpoint_every: int | None = Field(
        None, ge=1, description="steps between two checkpoints; default: once per epoch"
    )
    keep_last: int = Field(2, ge=1, description="number of newest checkpoints kept, in case the newest is damaged")
    threads: int | None = Field(None, ge=1, description="torch CPU threads; default: torch's own")
    exact: bool = Field(False, description="bit-identical weights at any number of ranks; slower")
    sync_batch_norm: bool = Field(False, description="synchronize batch norm across ranks; GPUs only")
    timeout_s: float = Field(600, gt=0, description="seconds a rank waits for another before training fails")

    @field_validator("optimizer", mode="before")
    @classmethod
    def _usual(cls, optimizer: Any) -> Any:
        """Fields without an optimizer name belong to the default optimizer: `fit.optimizer.lr=0.1`."""
        return {"name": USUAL, **optimizer} if isinstance(optimizer, dict) else optimizer

    @property
    def of_steps(self) -> list[str]:
        """The fields of `OF_STEPS` that differ from their defaults."""
        usual = Fit()
        return [name for name in OF_STEPS if getattr(self, name) != getattr(usual, name)]

    @property
    def watches(self) -> list[str]:
        """The requested options that depend on `monitor`."""
        requested = {
            "keep: best": self.keep == "best",
            "early_stop": self.early_stop is not None,
            "schedule: plateau": self.schedule.name == "plateau",
        }
        return [name for name, is_requested in requested.items() if is_requested]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        # a clipped gradient is not that of the loss the line search minimizes, and a step that ends in NaN has already
        # changed the weights
        is_lbfgs, parts = isinstance(self.optimizer, LBFGS), self.accumulate
        checks: list[tuple[bool | float | None, str]] = [
            (self.batch_size % parts, f"accumulate: {parts} does not divide the batch_size {self.batch_size}"),
            (
                any(isinstance(one, LBFGS) for one in self.optimizers.values()),
                "optimizers: lbfgs takes all parameters at once; name it in fit.optimizer",
            ),
            (is_lbfgs and self.clip, "clip: lbfgs looks for its own length; leave it out"),
            (is_lbfgs and self.nan == "skip", "nan: lbfgs moves weights inside its step; use stop"),
            (self.exact and self.threads is None, "exact: sums depend on the number of threads; set threads: 1, say"),
            (
                self.compile and self.order == "contiguous",
                "compile: a carried state changes at each step; leave it out",
            ),
            (self.exact and parts > 1, "exact: a batch is taken lane by lane; leave accumulate out"),
        ]
        if isinstance(self.average, SWA) and self.average.start > 1 - 1 / self.epochs:
            message = f"{self.average.start:g} of {self.epochs} epochs leaves none to take the mean of"
            checks.append((True, f"average: start: {message}"))
        if self.watches and self.validate_every > self.epochs:
            message = f"{self.validate_every} exceeds the {self.epochs} epochs, and {self.watches[0]} needs validation"
            checks.append((True, f"validate_every: {message}"))
        found = [message for is_wrong, message in checks if is_wrong]
        if found:
            raise ValueError("; ".join(found))
        return self

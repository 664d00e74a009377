"""The `fit` section of a recipe: how a model is trained, whatever it is.

`millstream check RECIPE --fields` shows these fields with the values that a recipe gives them.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from millstream.tracking.comparison.leaderboard import LESS_IS_BETTER
from millstream.training.config.averaging import SWA, AnyAverage
from millstream.training.config.early_stopping import EarlyStop
from millstream.training.config.initialization import Initialisation
from millstream.training.config.optimizers import LBFGS, AdamW, AnyOptimizer
from millstream.training.config.schedules import AnySchedule, Constant
from millstream.training.feed.plan.config import Reading

USUAL: Literal["adamw"] = "adamw"
"""The optimizer of a recipe that names none."""
OF_STEPS = (
    *("accumulate", "average", "channels_last", "clip", "compile", "early_stop", "exact", "init", "keep", "l1", "l2"),
    *("nan", "optimizer", "optimizers", "precision", "schedule", "sync_batch_norm", "warm_up"),
)
"""Fields that say how steps are taken: nothing to a model that is fitted at once."""


class Fit(Reading, frozen=True, extra="forbid"):
    """Fields that every task shares; a task's own stand in its own section."""

    epochs: int = Field(10, ge=1, description="passes over the train split")
    accumulate: int = Field(
        1, ge=1, description="parts that a batch is taken in, one in memory at a time; the step is that of the whole"
    )
    init: Initialisation | None = Field(
        None,
        description="how full, convolutional, recurrent and attention layers begin; default: the network's own way",
    )
    optimizer: AnyOptimizer = Field(
        default_factory=lambda: AdamW(name=USUAL), description="what takes the steps; default: adamw"
    )
    optimizers: dict[str, AnyOptimizer] = Field(
        {}, description="another optimizer for a part of a task that has several: {discriminator: {name: adam}}"
    )
    schedule: AnySchedule = Field(Constant(), description="how the rate goes on over the steps")
    warm_up: float = Field(
        0.0, ge=0, lt=1, description="share of the steps over which the rate rises, before the schedule"
    )
    l1: float = Field(0.0, ge=0, description="times the sum of |w| is added to the loss; biases and norms left out")
    l2: float = Field(0.0, ge=0, description="times half the sum of w^2, in the same way")
    clip: float | None = Field(None, gt=0, description="largest norm of the gradient")
    nan: Literal["stop", "skip"] = Field(
        "stop", description="what is done about a loss or gradient that is no finite number"
    )
    average: AnyAverage | None = Field(None, description="the model is a mean of the weights along the way")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of the arithmetic inside a network; weights are float32 always"
    )
    compile: bool = Field(False, description="let torch.compile write code for the network and its loss")
    channels_last: bool = Field(
        False, description="keep the maps of a pixel together in memory, with which most convolutions are faster"
    )
    monitor: str = Field("valid/loss", pattern=r"^valid/", description="the metric on valid that is watched")
    direction: Literal["min", "max"] | None = Field(
        None, description="which way `monitor` is better; default: less for losses and errors, more for all others"
    )
    validate_every: int = Field(1, ge=1, description="epochs between two looks at the valid split")
    keep: Literal["last", "best"] = Field(
        "last", description="which weights become the model; best by `monitor` on valid"
    )
    early_stop: EarlyStop | None = Field(None, description="end when `monitor` does not become better any more")
    checkpoint_every: int | None = Field(None, ge=1, description="steps between two checkpoints; default: each epoch")
    keep_last: int = Field(2, ge=1, description="checkpoints that are kept, should the newest be damaged")
    threads: int | None = Field(None, ge=1, description="threads of torch; default: its own choice")
    exact: bool = Field(False, description="weights that are the same bits at any number of ranks; slower")
    sync_batch_norm: bool = Field(False, description="batch norms look at the batch of all ranks; on GPUs alone")
    timeout_s: float = Field(600, gt=0, description="how long a rank waits for another one before training ends")

    @field_validator("optimizer", mode="before")
    @classmethod
    def _usual(cls, optimizer: Any) -> Any:
        """Fields of an optimizer that is not named are those of the usual one: `fit.optimizer.lr=0.1`, say."""
        return {"name": USUAL, **optimizer} if isinstance(optimizer, dict) else optimizer

    @property
    def of_steps(self) -> list[str]:
        """The fields that say how steps are taken, where it is another way than the usual one."""
        usual = Fit()
        return [name for name in OF_STEPS if getattr(self, name) != getattr(usual, name)]

    @property
    def looks_for_most(self) -> bool:
        """Whether a larger value of `monitor` is better."""
        if self.direction is not None:
            return self.direction == "max"
        return self.monitor.rpartition("/")[2] not in LESS_IS_BETTER

    @property
    def watches(self) -> list[str]:
        """What is asked for that looks at `monitor`."""
        asked = {
            "keep: best": self.keep == "best",
            "early_stop": self.early_stop is not None,
            "schedule: plateau": self.schedule.name == "plateau",
        }
        return [name for name, is_asked in asked.items() if is_asked]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        # a clipped gradient is not that of the loss whose minimum the line search looks for, and a step that ends in a
        # NaN has moved the weights by then
        is_lbfgs, parts = isinstance(self.optimizer, LBFGS), self.accumulate
        checks: list[tuple[bool | float | None, str]] = [
            (self.batch_size % parts, f"accumulate: {parts} does not divide the batch_size {self.batch_size}"),
            (is_lbfgs and self.clip, "clip: lbfgs looks for its own length; leave it out"),
            (is_lbfgs and self.nan == "skip", "nan: lbfgs moves weights inside its step; use stop"),
            (self.exact and self.threads is None, "exact: sums depend on the number of threads; set threads: 1, say"),
            (self.exact and parts > 1, "exact: a batch is taken lane by lane; leave accumulate out"),
        ]
        if isinstance(self.average, SWA) and self.average.start > 1 - 1 / self.epochs:
            told = f"{self.average.start:g} of {self.epochs} epochs leaves none to take the mean of"
            checks.append((True, f"average: start: {told}"))
        if self.watches and self.validate_every > self.epochs:
            told = f"{self.validate_every} is more than the {self.epochs} epochs, and {self.watches[0]} looks at valid"
            checks.append((True, f"validate_every: {told}"))
        found = [told for is_wrong, told in checks if is_wrong]
        if found:
            raise ValueError("; ".join(found))
        return self

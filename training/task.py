"""Base class of tasks: a learning problem as a LightningModule around a given network.

A task is a file `training/tasks/<name>.py` with a frozen `Config` and a class named after the file. It defines the
loss of each row, the metrics, the figures and the predictions of the registered model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from math import floor
from typing import Any, ClassVar

import pytorch_lightning as lightning
import torch
import torch.distributed as dist
from matplotlib.figure import Figure
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.recipe.schema import Direction
from millstream.tracking.runs.table import Table
from millstream.training.config.fit import Fit
from millstream.training.config.schedules import scheduler
from millstream.training.estimator import Estimator
from millstream.training.estimator_module import EstimatorModule
from millstream.training.feed.batch import Batch
from millstream.training.metrics.across_ranks import all_gather
from millstream.training.metrics.element_mean import ElementMean
from millstream.training.optimization.batch_norm import batch_norms, remembered
from millstream.training.optimization.carried_state import CarriedState
from millstream.training.optimization.flat_steps import flattened
from millstream.training.optimization.gradient_reduction import Averaged, Gradients
from millstream.training.optimization.optimizer_step import Losses, Step, Update, descend
from millstream.training.predictions._predictor import Base, Columns

Stage = str
"""`valid` or `test`."""
CARRIED = "carried"
"""Of a checkpoint: the recurrent state of all slots."""
STAGES: tuple[Stage, ...] = ("valid", "test")


class Task(lightning.LightningModule):
    """One learning problem.

    A subclass implements `rows`, `metrics`, `measure`, `predict` and `figures`. A task with several optimizers
    overrides `updates_per_batch` and `updates`. A reinforcement-learning task is a subclass of
    `training.rl.agent.Agent`.
    """

    config: Any
    network: Any
    outputs: ClassVar[Mapping[str, str]] = {}
    """Columns that `predict` returns, and the type of each: string, long, double, Array(double) or Array(string)."""
    learns_from: ClassVar[tuple[str, ...]] = ("data",)
    """The recipe sections it can be trained on: `data`, `environment`."""
    steps_by_rows: ClassVar[bool] = True
    """Whether a step minimizes the mean of `rows`, so that `rows` can be compiled and gradients accumulated."""
    generated: ClassVar[Mapping[str, str]] = {}
    """Columns of the samples that `generate` returns, and the type of each; empty for a task that is not generative."""
    trains_estimators: ClassVar[bool] = True
    """Whether an estimator can be its network."""
    learns_target: ClassVar[bool] = True
    """Whether it is supervised; if not, an estimator is fitted on the inputs alone."""
    directions: ClassVar[Mapping[str, Direction]] = {}
    """Whether a smaller (`min`) or larger (`max`) value of each metric is better; `loss` is always `min`.
    Models are ranked by the first one by default."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Attributes that it requires of its network in addition to `forward`."""

    def __init__(self, config: Any, network: nn.Module, signature: Signature, fit: Fit) -> None:
        """Raises WrongRecipe for a network that does not fit the task, and for a metric without a direction."""
        super().__init__()
        self.check_network(network)
        # `descend` takes the steps, for every optimizer, penalty and kind of accumulation
        self.automatic_optimization = False
        self.untaken: list[Step] = []
        self.gradients: Gradients = Averaged(network, fit.accumulate, lambda loss: self.manual_backward(loss))
        self._carried = {is_training: CarriedState() for is_training in (True, False)}
        self.elements: Tensor | int = 0
        """Denominator of the mean losses of the last global batch."""
        self.config = config
        self.network = network
        self.signature = signature
        self.fit = fit
        self.measured = nn.ModuleDict({stage: self._stage_metrics() for stage in STAGES})
        self._check_directions()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("_current_fx_name", "elements"):
            # set several times a step; nn.Module would look for parameters, modules and buffers of the name
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @classmethod
    def targets_of(cls, config: Any) -> tuple[str, ...]:
        """The target columns: `target` of the config, if it has that field."""
        target: str | None = getattr(config, "target", None)
        return () if target is None else (target,)

    @classmethod
    def network_signature(cls, config: Any, signature: Signature) -> Signature:
        """The signature the network is built from: the data's, or one with other outputs or input sizes."""
        return signature

    def rows(self, batch: Batch) -> tuple[Tensor, Any]:
        """The loss of each row, (b,), and the network's output for `measure`.

        Where a row has several elements (tokens, time steps), the loss is their sum and `counts` returns their number.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define rows()")

    @property
    def carried(self) -> CarriedState:
        """The recurrent state carried from batch to batch, of training or of evaluation.

        A task whose state is carried (`fit.order: contiguous`) calls `start` and `keep` in `rows` and `evaluate`.
        """
        return self._carried[self.training]

    def counts(self, batch: Batch) -> Tensor | None:
        """Number of elements (tokens, time steps) summed in the loss of each row, (b,); None where each row counts 1.

        Depends on the batch alone, so that the denominator of a global batch is known before the backward pass.
        """
        return None

    def evaluate(self, batch: Batch) -> tuple[Tensor, Any]:
        """`rows` in evaluation: a sequence is decoded without teacher forcing."""
        return self.rows(batch)

    @classmethod
    def updates_per_batch(cls, config: Any) -> Mapping[str, Fraction]:
        """Steps per batch of each optimizer, by name: 1/5 is one step every fifth batch.

        An optimizer has the parameters of `network.<name>`; the optimizer `network` those of the whole network.
        """
        return {"network": Fraction(1)}

    def updates(self, batch: Batch) -> Iterator[Update]:
        """The steps of a batch, in order; by default one, on the mean of `rows`."""
        total, parts = self._elements(batch), partial(self.gradients.parts, batch)
        self.elements = batch.real if total is None else total
        yield Update("network", lambda: (part.mean(self.rows(part)[0], total) for part in parts()), "train/loss")

    def mean(self, batch: Batch) -> Tensor:
        """This rank's part of the mean loss of a global batch."""
        return batch.mean(self.rows(batch)[0], self._elements(batch))

    def due(self, name: str, batch: Batch) -> int:
        """Number of steps the optimizer `name` takes at this batch, from `updates_per_batch`."""
        rate, done = self.updates_per_batch(self.config)[name], batch.epoch * self._batches + batch.index
        return floor((done + 1) * rate) - floor(done * rate)

    def generate(self, count: int, seed: int) -> Columns:
        """`count` samples drawn with `seed`: the columns of `generated`, one value per row."""
        return (self.predictor or Base()).generate(self.network, count, seed)

    def metrics(self) -> dict[str, Metric]:
        """The metrics of one stage by name, without `loss`."""
        return {}

    def measures(self, stage: Stage) -> list[str]:
        """The names of a stage's metrics."""
        return ["loss", *self.metrics()]

    @classmethod
    def direction(cls, metric: str) -> Direction | None:
        """Direction of improvement of a metric, with or without its stage (`valid/loss`); None if undeclared."""
        return {"loss": "min", **cls.directions}.get(metric.rpartition("/")[2])

    def measure(self, metrics: MetricCollection, output: Any, batch: Batch) -> None:
        """Update `metrics` with the real rows of `batch`, where `mask_B` is true; there is at least one."""

    def outcomes(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        """Per-row values for paired model comparison, in addition to the loss: (b,) by name, real rows only.

        See `tracking.comparison.significance`.
        """
        return {}

    @property
    def predictor(self) -> Base | None:
        """What the registered model keeps of the task: the `Predictor` of `training/predictions/<task>.py`.

        None for a task that defines `predict` itself: the whole task, which needs Lightning, is then registered.
        """
        return None

    def predict(self, *inputs: Any) -> Columns:
        """Predictions of the registered model for a table of inputs: the columns of `outputs`, one value per row."""
        if self.predictor is None:
            raise NotImplementedError(f"{type(self).__name__} defines neither predictor nor predict()")
        return self.predictor.predict(self.network, *inputs)

    def row_values(self, output: Any, batch: Batch) -> Mapping[str, Sequence[Any]]:
        """What is shown of each unmasked row in the table of the largest losses, such as `true` and `predicted`."""
        return {}

    def tables(self) -> dict[str, Table]:
        """Tables by name, made after the test; `per_class` is part of the run's description."""
        return {}

    def figures(self) -> dict[str, Figure]:
        """Figures by name, drawn after the test."""
        return {}

    def figures_of_network(self) -> dict[str, Figure]:
        """Figures of an estimator, for every task; empty for a network."""
        return self.network.estimator.figures(self.signature) if isinstance(self.network, EstimatorModule) else {}

    def films(self) -> dict[str, bytes]:
        """Animations by name, as GIF, drawn after the test."""
        return {}

    def setup(self, stage: str) -> None:
        for metric in self.modules():
            if isinstance(metric, Metric):
                metric.dist_sync_fn = all_gather

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A subclass that saves more calls it, too, and so with `on_load_checkpoint`."""
        if (whole := self._carried[True].whole()) is not None:
            checkpoint[CARRIED] = whole

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._carried[True].restore(checkpoint.get(CARRIED))

    def on_fit_start(self) -> None:
        if self.fit.compile:
            # eager random numbers: a compiled step would otherwise have another random stream
            compiled = torch.compile(self.rows, options={"fallback_random": True})
            self.rows = compiled  # type: ignore[method-assign]

    def training_step(self, batch: Batch, index: int) -> dict[str, Tensor] | None:
        """Take the batch's steps; return their losses by name, of which `EpochMean` logs the means.

        None for a task that logs its own.
        """
        self.elements = batch.real
        return {update.loss: self.descend(update.losses, update.optimizer) for update in self.updates(batch)}

    @property
    def has_point(self) -> bool:
        """Whether metrics are logged at this step: logging every step would be a large share of a small network's
        time."""
        trainer: Any = self.trainer
        # Lightning's own condition in training, without the dozen of its states that it compares before
        step = trainer.fit_loop.epoch_loop._batches_that_stepped + 1
        return bool(step % trainer.log_every_n_steps == 0 or trainer.should_stop)

    def descend(self, losses: Losses, name: str = "network") -> Tensor:
        """Take one step of the optimizer `name` on the sum of `losses`, as configured in `fit`; return that sum.

        A step skipped for a non-finite loss or gradient is appended to `untaken`.
        """
        put_back = remembered(batch_norms(self.network) if self.fit.nan == "skip" else ())
        which = list(self.updates_per_batch(self.config)).index(name)
        step = descend(_listed(self.optimizers())[which], losses, self.gradients, self.fit)
        if not step.taken:
            put_back()
            self.untaken.append(step)
        # step the schedule once per batch even when the update was skipped, so that it ends with the last epoch
        _listed(self.lr_schedulers())[which].step()
        return step.loss

    def validation_step(self, batch: Batch, index: int) -> None:
        self._evaluation_step(batch, "valid")

    def test_step(self, batch: Batch, index: int) -> dict[str, Any] | None:
        """The `loss` of each slot and the network's `output`, for per-row callbacks; None for a task that is not tested
        on rows."""
        return self._evaluation_step(batch, "test")

    def on_validation_epoch_end(self) -> None:
        self._report("valid")

    def on_test_epoch_end(self) -> None:
        self._report("test")

    def configure_optimizers(self) -> Any:
        made = [
            # as many as `due` adds up to
            self.optimizer_of(name, max(1, floor(self._batches * self.fit.epochs * rate)))
            for name, rate in self.updates_per_batch(self.config).items()
        ]
        return made[0] if len(made) == 1 else tuple(made)

    def optimizer_of(self, name: str, steps: int, *, share: float = 1.0) -> Any:
        """The recipe's optimizer `name` with its schedule over `steps`; `share` scales the learning rate."""
        chosen = self.fit.optimizers.get(name, self.fit.optimizer)
        module = self.network if name == "network" else getattr(self.network, name)
        optimizer = flattened(chosen.model_copy(update={"lr": chosen.lr * share}).build(module.parameters()))
        schedule = scheduler(optimizer, self.fit.schedule.factor, steps, warm_up=self.fit.warm_up)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @property
    def _batches(self) -> int:
        """Global batches per epoch."""
        # not trainer.estimated_stepping_batches: it sets up the feed before a resumed run's state is loaded, and the
        # feed then starts from the beginning
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        return len(data.train_dataloader())

    def _elements(self, batch: Batch) -> Tensor | None:
        """Number of elements in a global batch, over all ranks; None where each sample counts 1."""
        counts_B = self.counts(batch)
        if counts_B is None:
            return None
        # float64, in which these integers sum exactly in any order
        total = counts_B[batch.mask_B].sum(dtype=torch.float64)
        if batch.ranks > 1:
            dist.all_reduce(total)
        return total.clamp(min=1)

    @classmethod
    def check_network(cls, network: nn.Module) -> None:
        """Raises WrongRecipe for a network that the task cannot train."""
        name = cls.__name__.lower()
        part = network.estimator if isinstance(network, EstimatorModule) else network
        if isinstance(part, Estimator) and not cls.trains_estimators:
            message = f"is an estimator, which does not return the outputs that the task {name} trains; take another"
            raise WrongRecipe.at("network", message)
        if isinstance(part, Estimator) and part.learns_target != cls.learns_target:
            learns, has = ("a target", "none") if part.learns_target else ("the inputs alone", "a target to predict")
            raise WrongRecipe.at("network", f"learns {learns}, and the task {name} has {has}; change one of the two")
        missing = [one for one in cls.needs if not hasattr(part, one)]
        if missing:
            message = f"has no {' and no '.join(missing)}, which the task {name} needs; change one of the two"
            raise WrongRecipe.at("network", message)

    def _check_directions(self) -> None:
        name = type(self).__name__.lower()
        lacking = sorted({one for stage in STAGES for one in self.measures(stage) if self.direction(one) is None})
        if lacking:
            message = f"{name} declares no direction of {', '.join(lacking)}; add them to `directions` as min or max"
            raise WrongRecipe.at("task", message)
        for metric, made in self.measured["test"]["rest"].items():  # type: ignore[index]
            # torchmetrics declares the direction of its metrics; those that average any number have none
            if made.higher_is_better is not None and made.higher_is_better != (self.direction(metric) == "max"):
                message = (
                    f"{name} declares {self.direction(metric)} for {metric}, and {type(made).__name__} the opposite"
                )
                raise WrongRecipe.at("task", message)

    def _stage_metrics(self) -> nn.ModuleDict:
        return nn.ModuleDict({"loss": ElementMean(), "rest": MetricCollection(dict(self.metrics()))})

    def _evaluation_step(self, batch: Batch, stage: Stage) -> dict[str, Any]:
        per_row, output = self.evaluate(batch)
        counts_B, stage_metrics = self.counts(batch), self.measured[stage]
        loss: Any = stage_metrics["loss"]  # type: ignore[index]
        # a rank may have no row of the last batch
        if batch.is_full or bool(batch.mask_B.any()):
            loss.update(per_row[batch.mask_B], None if counts_B is None else counts_B[batch.mask_B])
            self.measure(stage_metrics["rest"], output, batch)  # type: ignore[index]
        return {"loss": per_row if counts_B is None else per_row / counts_B.clamp(min=1), "output": output}

    def _report(self, stage: Stage) -> None:
        stage_metrics: Any = self.measured[stage]
        values = {"loss": stage_metrics["loss"].compute(), **stage_metrics["rest"].compute()}
        self.log_dict({f"{stage}/{name}": value for name, value in values.items()}, sync_dist=False)
        stage_metrics["loss"].reset()
        stage_metrics["rest"].reset()


def _listed(one_or_more: Any) -> list[Any]:
    """A list, since Lightning returns a single optimizer or schedule unwrapped."""
    return one_or_more if isinstance(one_or_more, list) else [one_or_more]

"""What every task shares: one learning problem as a LightningModule around a network that it is given.

A task is a file `training/tasks/<name>.py` with a frozen `Config` and the class called after the file. It says what
the loss of each row is, which metrics are read, which pictures are drawn and what the registered model gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import partial
from math import ceil, floor
from typing import Any, ClassVar

import pytorch_lightning as lightning
import torch
import torch.distributed as dist
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import WrongRecipe
from millstream.training.config.fit import Fit
from millstream.training.config.schedules import scheduler
from millstream.training.estimator import Estimator
from millstream.training.feed.batch import Batch
from millstream.training.metrics.across_ranks import all_gather
from millstream.training.metrics.element_mean import ElementMean
from millstream.training.optimization.batch_norm import batch_norms, remembered
from millstream.training.optimization.gradient_reduction import Averaged, Gradients
from millstream.training.optimization.optimizer_step import Losses, Step, Update, descend

Stage = str
"""`valid` or `test`."""


class Task(lightning.LightningModule):
    """One learning problem.

    A subclass gives `rows`, `metrics`, `measure`, `predict`, and what it draws in `figures`. A task of several
    optimizers overrides `updates_per_batch` and `updates`. One that learns in an environment is a subclass of
    `training.rl.agent.Agent`.
    """

    config: Any
    network: Any
    outputs: ClassVar[Mapping[str, str]] = {}
    """Columns that `predict` gives, and the type of each: string, long, double, Array(double) or Array(string)."""
    learns_from: ClassVar[tuple[str, ...]] = ("data",)
    """The sections of a recipe that it can learn from: `data`, `environment`."""
    steps_by_rows: ClassVar[bool] = True
    """Whether a step is down the mean of `rows`, which may be compiled, and made of a batch part by part."""
    generated: ClassVar[Mapping[str, str]] = {}
    """Columns of the samples that `generate` draws, with the type of each; empty for a task that generates nothing."""
    learns_target: ClassVar[bool] = True
    """Whether it learns to tell a target; if not, an estimator is given the inputs alone."""
    needs: ClassVar[tuple[str, ...]] = ()
    """What it asks of its network beside `forward`."""

    def __init__(self, config: Any, network: nn.Module, signature: Signature, fit: Fit) -> None:
        """Raises WrongRecipe for a network that does not do what the task is about."""
        super().__init__()
        self._check_fitting(network)
        # steps are taken by `descend`, for every optimizer, penalty and way to accumulate alike
        self.automatic_optimization = False
        self.untaken: list[Step] = []
        self.gradients: Gradients = Averaged(network, fit.accumulate, lambda loss: self.manual_backward(loss))
        self.elements: Tensor | int = 0
        """Of the last global batch: what its losses are means over."""
        self.config = config
        self.network = network
        self.signature = signature
        self.fit = fit
        self.measured = nn.ModuleDict({stage: self._stage_metrics() for stage in ("valid", "test")})

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_current_fx_name":
            # Lightning notes at each hook, some twenty times a step, and a module looks at all it is given for weights
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @classmethod
    def targets_of(cls, config: Any) -> tuple[str, ...]:
        """The columns that the task learns to predict, or compares with: `target` of its config, if it has one."""
        target: str | None = getattr(config, "target", None)
        return () if target is None else (target,)

    @classmethod
    def asked_of_network(cls, config: Any, signature: Signature) -> Signature:
        """What the network is built from: the data's signature, or one that asks for other numbers a row than it."""
        return signature

    def rows(self, batch: Batch) -> tuple[Tensor, Any]:
        """The loss of each row, (b,), and the network's output, which `measure` reads.

        Where a row has several elements that count by themselves, the loss is their sum, and `counts` says how many.
        """
        raise NotImplementedError(f"{type(self).__name__} gives no rows()")

    def counts(self, batch: Batch) -> Tensor | None:
        """How many elements (tokens, time steps) the loss of each row is the sum of, (b,); None where a row counts one.

        It follows from the batch alone, so that the mean over a global batch is known before anything goes backward.
        """
        return None

    def evaluate(self, batch: Batch) -> tuple[Tensor, Any]:
        """What `rows` gives, of a network that is evaluated: here a sequence is decoded without its own target."""
        return self.rows(batch)

    @classmethod
    def updates_per_batch(cls, config: Any) -> Mapping[str, Fraction]:
        """The optimizers by name, and how many steps each takes a batch: 1/5 for one step each fifth batch.

        An optimizer has the parameters of `network.<name>`; one called `network` those of the whole network.
        """
        return {"network": Fraction(1)}

    def updates(self, batch: Batch) -> Iterator[Update]:
        """The steps of a batch, one after the other. The default is one, down the mean of `rows`."""
        total, parts = self._elements(batch), partial(self.gradients.parts, batch)
        self.elements = batch.real if total is None else total
        yield Update("network", lambda: (part.mean(self.rows(part)[0], total) for part in parts()), "train/loss")

    def mean(self, batch: Batch) -> Tensor:
        """The mean loss of a global batch, of which this rank has a part."""
        return batch.mean(self.rows(batch)[0], self._elements(batch))

    def due(self, name: str, batch: Batch) -> int:
        """How many steps the optimizer `name` takes at this batch, by `updates_per_batch`."""
        rate, done = self.updates_per_batch(self.config)[name], batch.epoch * self._batches + batch.index
        return floor((done + 1) * rate) - floor(done * rate)

    def generate(self, count: int, seed: int) -> dict[str, NDArray[Any] | list[Any]]:
        """`count` samples drawn with `seed`: the columns of `generated`, one value a row."""
        raise WrongRecipe.at("model", f"the task {type(self).__name__.lower()} generates nothing")

    def metrics(self) -> dict[str, Metric]:
        """The metrics of one stage by name, `loss` left out."""
        return {}

    def measures(self, stage: Stage) -> list[str]:
        """The names of what is measured on a stage."""
        return ["loss", *self.metrics()]

    def measure(self, metrics: MetricCollection, output: Any, batch: Batch) -> None:
        """Update `metrics` with the real rows of `batch`, those where `mask_B` is true; there is at least one."""

    def outcomes(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        """What two models are compared by, of each real row, (b,) by name, beside its loss.

        See `tracking.comparison.significance`.
        """
        return {}

    def predict(self, *inputs: Any) -> dict[str, NDArray[Any] | list[Any]]:
        """What the registered model gives for a table of inputs: the columns of `outputs`, one value a row."""
        raise NotImplementedError(f"{type(self).__name__} gives no predict()")

    def figures(self) -> dict[str, Figure]:
        """Pictures by name, drawn after the test."""
        return {}

    def figures_of_network(self) -> dict[str, Figure]:
        """What an estimator shows of itself, whatever the task; a network that was trained shows nothing."""
        return self.network.figures(self.signature) if isinstance(self.network, Estimator) else {}

    def films(self) -> dict[str, bytes]:
        """Moving pictures by name, as GIF, drawn after the test."""
        return {}

    def setup(self, stage: str) -> None:
        for metric in self.modules():
            if isinstance(metric, Metric):
                metric.dist_sync_fn = all_gather

    def on_fit_start(self) -> None:
        if self.fit.compile:
            # draws as they are without: a compiled step would otherwise have another stream of random numbers
            compiled = torch.compile(self.rows, options={"fallback_random": True})
            self.rows = compiled  # type: ignore[method-assign]

    def training_step(self, batch: Batch, index: int) -> dict[str, Tensor] | None:
        """Take the batch's steps; their losses by name, of which `EpochMean` reports the means.

        None for a task that reports its own.
        """
        self.elements = batch.real
        return {update.loss: self.descend(update.losses, update.optimizer) for update in self.updates(batch)}

    @property
    def has_point(self) -> bool:
        """Whether curves have a point at this step: one at every step would cost a small network a good part of its
        time."""
        trainer: Any = self.trainer
        return bool(trainer._logger_connector.should_update_logs)

    def descend(self, losses: Losses, name: str = "network") -> Tensor:
        """The sum of `losses`, after one step of the optimizer `name` down it, as the fit section says.

        A step that is not taken, because a number is not finite, is noted in `untaken`.
        """
        put_back = remembered(batch_norms(self.network) if self.fit.nan == "skip" else ())
        which = list(self.updates_per_batch(self.config)).index(name)
        step = descend(_listed(self.optimizers())[which], losses, self.gradients, self.fit)
        if not step.taken:
            put_back()
            self.untaken.append(step)
        # of batches, not of steps taken: a schedule that waited for those would not end with the epochs
        _listed(self.lr_schedulers())[which].step()
        return step.loss

    def validation_step(self, batch: Batch, index: int) -> None:
        self._evaluation_step(batch, "valid")

    def test_step(self, batch: Batch, index: int) -> dict[str, Any] | None:
        """The `loss` of each slot and the network's `output`, for callbacks that look at rows; None for a task that
        tests by other things than rows."""
        return self._evaluation_step(batch, "test")

    def on_validation_epoch_end(self) -> None:
        self._report("valid")

    def on_test_epoch_end(self) -> None:
        self._report("test")

    def configure_optimizers(self) -> Any:
        made = [
            self.optimizer_of(name, ceil(self._batches * self.fit.epochs * rate))
            for name, rate in self.updates_per_batch(self.config).items()
        ]
        return made[0] if len(made) == 1 else tuple(made)

    def optimizer_of(self, name: str, steps: int, *, share: float = 1.0) -> Any:
        """The recipe's optimizer of this name, at a share of its rate, with its schedule over so many steps."""
        chosen = self.fit.optimizers.get(name, self.fit.optimizer)
        module = self.network if name == "network" else getattr(self.network, name)
        optimizer = chosen.model_copy(update={"lr": chosen.lr * share}).build(module.parameters())
        schedule = scheduler(optimizer, self.fit.schedule.factor, steps, warm_up=self.fit.warm_up)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @property
    def _batches(self) -> int:
        """Global batches of an epoch."""
        # not trainer.estimated_stepping_batches: it sets up the feed before a resumed run's state is there, and the
        # feed then starts from its beginning
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        return len(data.train_dataloader())

    def _elements(self, batch: Batch) -> Tensor | None:
        """How many elements a global batch has, over all ranks; None where each sample counts one."""
        counts_B = self.counts(batch)
        if counts_B is None:
            return None
        # double, in which so many elements can be added in any order
        total = counts_B[batch.mask_B].sum(dtype=torch.float64)
        if batch.ranks > 1:
            dist.all_reduce(total)
        return total.clamp(min=1)

    def _check_fitting(self, network: nn.Module) -> None:
        name = type(self).__name__.lower()
        if isinstance(network, Estimator) and network.learns_target != self.learns_target:
            learns, has = ("a target", "none") if network.learns_target else ("the inputs alone", "a target to tell")
            raise WrongRecipe.at("network", f"learns {learns}, and the task {name} has {has}; change one of the two")
        missing = [one for one in self.needs if not hasattr(network, one)]
        if missing:
            told = f"gives no {' and no '.join(missing)}, which the task {name} asks for; change one of the two"
            raise WrongRecipe.at("network", told)

    def _stage_metrics(self) -> nn.ModuleDict:
        return nn.ModuleDict({"loss": ElementMean(), "rest": MetricCollection(dict(self.metrics()))})

    def _evaluation_step(self, batch: Batch, stage: Stage) -> dict[str, Any]:
        per_row, output = self.evaluate(batch)
        counts_B, stage_metrics = self.counts(batch), self.measured[stage]
        loss: Any = stage_metrics["loss"]  # type: ignore[index]
        # of several ranks one may have no row of the last batch
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
    """Lightning gives one optimizer or schedule as itself, several as a list."""
    return one_or_more if isinstance(one_or_more, list) else [one_or_more]

"""What every task shares: one learning problem as a LightningModule around a network that it is given.

A task is a file `training/tasks/<name>.py` with a frozen `Config` and the class called after the file. It says what
the loss of each row is, which metrics are read, which pictures are drawn and what the registered model gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytorch_lightning as lightning
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import WrongRecipe
from millstream.training.config.fit import Fit
from millstream.training.config.schedules import scheduler
from millstream.training.estimator import Estimator
from millstream.training.feed.batch import Batch
from millstream.training.metrics.across_ranks import all_gather
from millstream.training.optimization.batch_norm import batch_norms, remembered
from millstream.training.optimization.gradient_reduction import Averaged, Gradients
from millstream.training.optimization.optimizer_step import Losses, Step, descend

Stage = str
"""`valid` or `test`."""


class Task(lightning.LightningModule):
    """One learning problem.

    A subclass gives `rows`, `metrics`, `measure`, `predict`, and what it draws in `figures`. A task that has its own
    way to step (two optimizers, an environment) overrides `training_step` and `configure_optimizers`, and takes its
    steps by `descend`.
    """

    config: Any
    network: Any
    outputs: ClassVar[Mapping[str, str]] = {}
    """Columns that `predict` gives, and the type of each: string, long, double, Array(double) or Array(string)."""
    steps_by_rows: ClassVar[bool] = True
    """Whether a step is down the mean of `rows`, which may be compiled, and made of a batch part by part."""
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
        self.gradients: Gradients = Averaged(self)
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
        """The loss of each row, (b,), and the network's output, which `measure` reads."""
        raise NotImplementedError(f"{type(self).__name__} gives no rows()")

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
        """Take a step; its losses by name, of which `EpochMean` tells the means. None for a task that tells its own."""
        loss = self.descend(lambda: (part.mean(self.rows(part)[0]) for part in self.gradients.parts(batch)))
        return {"train/loss": loss}

    @property
    def has_point(self) -> bool:
        """Whether curves have a point at this step: one at every step would cost a small network a good part of its
        time."""
        trainer: Any = self.trainer
        return bool(trainer._logger_connector.should_update_logs)

    def descend(self, losses: Losses, which: int = 0) -> Tensor:
        """The sum of `losses`, after one step of the optimizer number `which` down it, as the fit section says.

        A step that is not taken, because a number is not finite, is noted in `untaken`.
        """
        put_back = remembered(batch_norms(self.network) if self.fit.nan == "skip" else ())
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
        # not trainer.estimated_stepping_batches: it sets up the feed before a resumed run's state is there, and the
        # feed then starts from its beginning
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        return self.optimizer_of(self.network, len(data.train_dataloader()) * self.fit.epochs)

    def optimizer_of(self, module: nn.Module, steps: int, *, share: float = 1.0) -> Any:
        """The recipe's optimizer for the parameters of `module`, at a share of its rate, with its schedule."""
        chosen = self.fit.optimizer.model_copy(update={"lr": self.fit.optimizer.lr * share})
        optimizer = chosen.build(module.parameters())
        schedule = scheduler(optimizer, self.fit.schedule.factor, steps, warm_up=self.fit.warm_up)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

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
        return nn.ModuleDict(
            {"loss": MeanMetric(nan_strategy="disable"), "rest": MetricCollection(dict(self.metrics()))}
        )

    def _evaluation_step(self, batch: Batch, stage: Stage) -> dict[str, Any]:
        per_row, output = self.rows(batch)
        stage_metrics: Any = self.measured[stage]
        # of several ranks one may have no row of the last batch
        if batch.is_full or bool(batch.mask_B.any()):
            stage_metrics["loss"].update(per_row[batch.mask_B])
            self.measure(stage_metrics["rest"], output, batch)
        return {"loss": per_row, "output": output}

    def _report(self, stage: Stage) -> None:
        stage_metrics: Any = self.measured[stage]
        values = {"loss": stage_metrics["loss"].compute(), **stage_metrics["rest"].compute()}
        self.log_dict({f"{stage}/{name}": value for name, value in values.items()}, sync_dist=False)
        stage_metrics["loss"].reset()
        stage_metrics["rest"].reset()


def _listed(one_or_more: Any) -> list[Any]:
    """Lightning gives one optimizer or schedule as itself, several as a list."""
    return one_or_more if isinstance(one_or_more, list) else [one_or_more]

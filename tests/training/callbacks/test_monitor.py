from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_lightning.trainer.states import TrainerFn
from torch import nn

from millstream.training.callbacks.early_stopping import StopEarly
from millstream.training.callbacks.reduce_on_plateau import LowerOnPlateau
from millstream.training.config.early_stopping import EarlyStop
from millstream.training.config.fit import Fit
from millstream.training.config.schedules import Plateau, scheduler
from millstream.training.task import Task

# a loss that is best at once, falls a little, rises, is no number, and falls again
LOSSES = st.lists(st.sampled_from([1.0, 0.9, 0.89, 0.8, 0.5, 0.49, float("nan")]), min_size=1, max_size=30)


class Looks:
    """A trainer with a logged value of the watched metric after each epoch."""

    def __init__(self, *schedules):
        self.state = SimpleNamespace(fn=TrainerFn.FITTING)
        self.lr_scheduler_configs = [SimpleNamespace(scheduler=one) for one in schedules]
        self.should_stop = False
        self.callback_metrics = {}

    def log(self, callback, value):
        self.callback_metrics = {"valid/loss": torch.tensor(value)}
        callback.on_validation_end(self, Task)


def moving(lr=0.4, **options):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    return optimizer, scheduler(optimizer, Plateau(name="plateau").factor, 100, **options)


@given(LOSSES, st.integers(1, 4), st.sampled_from([0.0, 0.05]), st.sampled_from(["min", "max"]))
def test_the_rate_falls_where_torchs_own_schedule_lets_it_fall(losses, patience, least, direction):
    optimizer, schedule = moving()
    config = Plateau(name="plateau", by=0.5, patience=patience, least=least, floor=0.1)
    callback = LowerOnPlateau(Fit(direction=direction), config)
    theirs = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    oracle = torch.optim.lr_scheduler.ReduceLROnPlateau(
        theirs,
        direction,
        factor=0.5,
        patience=patience - 1,  # torch counts the looks that are forgiven
        threshold=least,
        threshold_mode="abs",
        min_lr=0.04,
        eps=0,
    )
    trainer = Looks(schedule)
    for loss in losses:
        trainer.log(callback, loss)
        oracle.step(loss)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"])
        optimizer.step(), schedule.step()
        assert optimizer.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"])


def test_a_rate_that_falls_during_the_warm_up_keeps_its_shape():
    optimizer, schedule = moving(lr=1.0, warm_up=0.09)
    trainer, callback = Looks(schedule), LowerOnPlateau(Fit(), Plateau(name="plateau", by=0.5, patience=1))
    rates = []
    for step in range(12):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step(), schedule.step()
        if step in (1, 4):
            trainer.log(callback, 1.0)  # the second look is not better
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.3, 0.35, 0.4, 0.45, 0.5, 0.5, 0.5])


def test_training_ends_after_so_many_looks_that_were_not_better():
    losses = [1.0, 0.9, 0.95, 0.85, 0.86, float("nan"), 0.84, 0.3]
    callback, trainer, ends = StopEarly(Fit(), EarlyStop(patience=3, least=0.02)), Looks(), []
    for loss in losses:
        trainer.log(callback, loss)
        ends.append(trainer.should_stop)
    # best is .85; .86, NaN and .84 are not better by .02
    assert ends == [False] * 6 + [True] * 2
    assert callback.best == pytest.approx(0.3)


def test_what_was_seen_travels_in_the_checkpoint():
    first, second = (StopEarly(Fit(), EarlyStop(patience=2)) for _ in range(2))
    trainer = Looks()
    for loss in (0.5, 0.7):
        trainer.log(first, loss)
    second.load_state_dict(first.state_dict())
    trainer.log(second, 0.6)
    assert trainer.should_stop


class Errors(Task):
    directions: ClassVar = {"misses": "min", "hits": "max"}


@pytest.mark.parametrize(
    ("metric", "written", "improves"),
    [("misses", None, 0.1), ("hits", None, 0.9), ("loss", None, 0.1), ("misses", "max", 0.9), ("hits", "min", 0.1)],
)
def test_a_metric_improves_in_the_direction_that_its_task_declares_unless_the_recipe_has_one(metric, written, improves):
    callback = StopEarly(Fit(monitor=f"valid/{metric}", direction=written), EarlyStop(patience=9))
    trainer = Looks()
    for value in (0.5, 0.1, 0.9):
        trainer.callback_metrics = {f"valid/{metric}": torch.tensor(value)}
        callback.on_validation_end(trainer, Errors)
    assert callback.best == pytest.approx(improves)

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from training.fit_config import Fit
from training.optimizers import SGD, Adam, AdamW, Constant, Cosine, OneCycle, RMSprop, Step, scheduler


def test_a_cosine_falls_by_half_at_the_middle_and_ends_at_its_floor():
    schedule = Cosine(name="cosine", floor=0.1)
    assert [schedule.factor(done) for done in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.55, 0.1])


def test_one_cycle_follows_torchs_own_schedule():
    weight = nn.Parameter(torch.zeros(1))
    steps, peak = 40, 0.3
    theirs = torch.optim.SGD([weight], lr=peak)
    oracle = torch.optim.lr_scheduler.OneCycleLR(
        theirs, peak, total_steps=steps, pct_start=0.25, div_factor=25, final_div_factor=400, cycle_momentum=False
    )
    cycle = OneCycle(name="onecycle", rise=0.25, start=1 / 25, end=1 / 25 / 400)
    ours = torch.optim.SGD([weight], lr=peak)
    schedule = scheduler(ours, cycle.factor, steps)
    for step in range(steps - 1):
        expected = oracle.get_last_lr()[0]
        # torch turns at step 0.25 * 40 - 1, we at a quarter of the way: a step apart at the peak
        assert schedule.get_last_lr()[0] == pytest.approx(expected, rel=0.12), step
        theirs.step(), ours.step(), oracle.step(), schedule.step()


def test_steps_multiply_the_rate_at_their_shares():
    schedule = Step(name="step", at=(0.5, 0.75), by=0.1)
    assert [schedule.factor(done) for done in (0.0, 0.49, 0.5, 0.8)] == pytest.approx([1, 1, 0.1, 0.01])
    assert Constant().factor(0.9) == 1


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (SGD(name="sgd", lr=0.1, momentum=0.9), torch.optim.SGD),
        (RMSprop(name="rmsprop"), torch.optim.RMSprop),
        (Adam(name="adam"), torch.optim.Adam),
        (AdamW(name="adamw"), torch.optim.AdamW),
    ],
)
def test_each_optimizer_finds_the_minimum_of_a_parabola(config, expected):
    weight = nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = config.model_copy(update={"lr": 0.05}).build([weight])
    assert type(optimizer) is expected
    for _ in range(400):
        optimizer.zero_grad()
        (weight**2).sum().backward()
        optimizer.step()
    assert weight.detach().abs().max() < 0.05


def test_a_field_of_another_optimizer_is_refused():
    with pytest.raises(ValidationError, match="momentum"):
        Fit(optimizer={"name": "adamw", "momentum": 0.9})


def test_the_first_and_the_last_step_have_the_rates_of_the_ends():
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    schedule = scheduler(optimizer, Cosine(name="cosine").factor, 11)
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step(), schedule.step()
    assert rates[0] == 1.0
    assert math.isclose(rates[-1], 0.0, abs_tol=1e-12)

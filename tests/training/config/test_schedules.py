import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from millstream.training.config.schedules import Constant, Cosine, OneCycle, Plateau, Step, scheduler


def rates(schedule, steps, **options):
    """The rate at each step, as a share of the full one."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    moving = scheduler(optimizer, schedule.factor, steps, **options)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step(), moving.step()
    return found


def test_a_cosine_falls_by_half_at_the_middle_and_ends_at_its_floor():
    schedule = Cosine(name="cosine", floor=0.1)
    assert [schedule.factor(done) for done in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.55, 0.1])


def test_one_cycle_follows_torchs_own_schedule():
    steps = 40
    theirs = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    oracle = torch.optim.lr_scheduler.OneCycleLR(
        theirs, 1.0, total_steps=steps, pct_start=0.25, div_factor=25, final_div_factor=400, cycle_momentum=False
    )
    cycle = OneCycle(name="onecycle", rise=0.25, start=1 / 25, end=1 / 25 / 400)
    for step, rate in enumerate(rates(cycle, steps)[:-1]):
        # torch turns at step 0.25 * 40 - 1, we at a quarter of the way: a step apart at the peak
        assert rate == pytest.approx(oracle.get_last_lr()[0], rel=0.12), step
        theirs.step(), oracle.step()


def test_steps_multiply_the_rate_at_their_shares():
    schedule = Step(name="step", at=(0.5, 0.75), by=0.1)
    assert [schedule.factor(done) for done in (0.0, 0.49, 0.5, 0.8)] == pytest.approx([1, 1, 0.1, 0.01])
    assert Constant().factor(0.9) == 1


@pytest.mark.bad_input
@pytest.mark.parametrize("at", [(2, 3), (-2,), (0,), (0.5, 1)])
def test_steps_are_shares_and_no_epochs(at):
    with pytest.raises(ValidationError, match="than"):
        Step(name="step", at=at)


def test_a_warm_up_is_a_step_at_least():
    assert rates(Constant(), 20, warm_up=0.01)[:3] == pytest.approx([0.5, 1, 1])


def test_the_first_and_the_last_step_have_the_rates_of_the_ends():
    found = rates(Cosine(name="cosine"), 11)
    assert found[0] == 1.0
    assert math.isclose(found[-1], 0.0, abs_tol=1e-12)


@pytest.mark.parametrize(
    "schedule",
    [Constant(), Cosine(name="cosine"), OneCycle(name="onecycle"), Step(name="step"), Plateau(name="plateau")],
)
def test_a_warm_up_rises_evenly_and_leaves_the_schedule_the_rest(schedule):
    found = rates(schedule, 25, warm_up=0.2)
    assert found[:5] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert found[5:] == pytest.approx(rates(schedule, 20))

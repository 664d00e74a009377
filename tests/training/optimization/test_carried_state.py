"""A recurrent network whose state is carried from batch to batch learns as on the unrolled sequence, truncated."""

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from pydantic import BaseModel
from torch import nn

from millstream.tracking.errors import TrainingFailed
from millstream.training.assembly.data_source import DatasetSource
from millstream.training.callbacks.save_checkpoint import Last
from millstream.training.config.fit import Fit
from millstream.training.config.optimizers import SGD
from millstream.training.loop.trainer import trainer
from millstream.training.optimization.carried_state import CarriedState
from millstream.training.optimization.lane_gradients import ByLane
from millstream.training.task import Task
from tests.training.feed.plan.test_contiguous import by_hand
from tests.training.feed.series import CHANNELS, LOOK_BACK, make_series, series, series_feed, windows

RATE, HIDDEN, EPOCHS = 0.1, 3, 2
BATCHES = 7
"""Of an epoch: 25 windows in 4 slots, where the last batch has three empty ones."""
FIT = {
    "epochs": EPOCHS,
    "batch_size": 4,
    "seed": 7,
    "engine": "arrow",
    "order": "contiguous",
    "optimizer": SGD(name="sgd", lr=RATE),
}


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(CHANNELS, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, CHANNELS)

    def forward(self, x_BTC, state_BH):
        seen_BTH, last_1BH = self.rnn(x_BTC, state_BH[None])
        return self.head(seen_BTH), last_1BH[0]


class Config(BaseModel, frozen=True, extra="forbid"):
    pass


class NextStep(Task):
    """Predicts each next value of a series."""

    def rows(self, batch):
        x_BTC = batch.arguments[0].double()
        start_BH = self.carried.start(batch, x_BTC.new_zeros(len(x_BTC), HIDDEN))
        predicted_BTC, state_BH = self.network(x_BTC, start_BH)
        self.carried.keep(batch, state_BH)
        wanted_BTC = torch.cat([x_BTC[:, 1:], batch.truth.double()], dim=1)
        return (predicted_BTC - wanted_BTC).square().sum(dim=(1, 2)), predicted_BTC

    def counts(self, batch):
        return torch.full((len(batch.mask_B),), LOOK_BACK)


def source(dataset, **more):
    return DatasetSource(dataset, dataset.manifest.signature("series"), Fit(**(FIT | more)))


def task_of(data):
    torch.manual_seed(5)
    return NextStep(Config(), Recurrent().double(), data.signature, data.fit)


def weights(task):
    return {name: value.detach().clone() for name, value in task.network.state_dict().items()}


def unrolled(dataset, epochs=EPOCHS):
    """Losses and weights of truncated backpropagation by hand: slot by slot, one time step after the other."""
    held = [window for _, stretches in sorted(series().items()) for stretch in stretches for window in windows(stretch)]
    feed, network = series_feed(dataset), task_of(source(dataset)).network
    w, u, b, c = network.rnn.weight_ih_l0, network.rnn.weight_hh_l0, network.rnn.bias_ih_l0, network.rnn.bias_hh_l0
    losses = []
    for epoch in range(epochs):
        order = feed.plan(epoch)
        place = {int(sample): at for at, sample in enumerate(order.sequences.samples)}
        state = {}
        for samples, begins in zip(*by_hand(order), strict=True):
            errors = []
            for slot, (sample, is_first) in enumerate(zip(samples, begins, strict=True)):
                if sample < 0:
                    continue
                steps = torch.from_numpy(held[place[sample]]).double()
                h = torch.zeros(HIDDEN, dtype=torch.float64) if is_first else state[slot]
                for x, wanted in itertools.pairwise(steps):
                    h = torch.tanh(w @ x + b + u @ h + c)
                    errors.append((network.head(h) - wanted).square().sum())
                state[slot] = h.detach()
            loss = torch.stack(errors).mean()
            network.zero_grad()
            loss.backward()
            losses.append(float(loss))
            with torch.no_grad():
                for one in network.parameters():
                    one -= RATE * one.grad
    return losses, {name: value.detach() for name, value in network.state_dict().items()}


def agree(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-12)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_series(tmp_path_factory.mktemp("series"), train=0, valid=1, test=2)


def trained(data, folder, *, every=3, start=None, gradients=None):
    """The task, trained by the Trainer with a checkpoint after so many steps."""
    task = task_of(data)
    task.gradients = gradients or task.gradients
    losses = []
    task.on_train_batch_end = lambda outputs, *_: losses.append(float(outputs["train/loss"]))
    saving = Last(folder, every=every, keep=9)
    made = trainer(data.fit, [saving], max_epochs=EPOCHS, logger=False, default_root_dir=str(folder))
    made.fit(task, datamodule=data, ckpt_path=start, weights_only=True)
    return task, losses


@pytest.mark.parametrize("way", ["at once", "accumulated", "exact"])
def test_losses_and_weights_are_those_of_the_unrolled_sequence_truncated(dataset, tmp_path, way):
    data = source(dataset, accumulate=2 if way == "accumulated" else 1)
    gradients = ByLane(7, range(4), 4) if way == "exact" else None
    task, losses = trained(data, tmp_path, gradients=gradients)
    expected, final = unrolled(dataset)
    np.testing.assert_allclose(losses, expected, rtol=1e-6)  # losses of elements are counted in float32
    agree(weights(task), final)


@pytest.mark.parametrize(("step", "every"), [(3, 3), (7, 7), (9, 3)])
def test_a_run_that_is_resumed_ends_with_the_same_weights(dataset, tmp_path, step, every):
    """Inside the first epoch, at its end, and inside the second, after a validation."""
    whole, _ = trained(source(dataset), tmp_path / "whole", every=every)
    start = tmp_path / "whole" / f"step-{step:08}.ckpt"
    again, losses = trained(source(dataset), tmp_path / "again", start=start)
    assert len(losses) == EPOCHS * BATCHES - step
    for name, value in weights(whole).items():
        assert torch.equal(weights(again)[name], value)


def learned(place):
    """Weights and state of all slots after three batches of data parallel training, by name, for `tasks_in_ranks`."""
    with tempfile.TemporaryDirectory() as folder:
        data = source(make_series(Path(folder)))
        task, feed = task_of(data), series_feed(data.dataset, rank=place.rank, ranks=place.ranks)
        for batch in itertools.islice(feed, 3):
            task.mean(batch).backward()
            for one in task.network.parameters():
                if place.ranks > 1:
                    dist.all_reduce(one.grad)
                with torch.no_grad():
                    one -= RATE * one.grad / place.ranks
                one.grad = None
    found = weights(task) | {"state": task.carried.whole()}
    return {f"{name} {at}": float(one) for name, value in found.items() for at, one in enumerate(value.flatten())}


def test_a_state_of_two_ranks_resumes_at_one_and_the_reverse(monkeypatch):
    """The state of all slots, of which each rank takes its own."""
    saved, whole = CarriedState(), torch.arange(12.0).reshape(4, 3)
    saved.restore(whole)
    assert torch.equal(saved.whole(), whole)
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
        own = CarriedState()
        own.restore(whole)
        assert torch.equal(own._after, whole[2 * rank : 2 * rank + 2])


def test_validation_does_not_touch_the_state_of_training(dataset):
    task, feed = task_of(source(dataset)), series_feed(dataset)
    first, second = (next(iter(feed)) for _ in range(2))
    task.rows(first)
    before = task.carried.whole().clone()
    task.eval()
    task.rows(next(iter(series_feed(dataset, shuffle=False))))
    task.train()
    assert torch.equal(task.carried.whole(), before)
    task.rows(second)
    assert not torch.equal(task.carried.whole(), before)


def test_a_state_that_is_not_finite_is_replaced_slot_by_slot(dataset):
    held, batch = CarriedState(), next(iter(series_feed(dataset)))
    state = torch.ones(4, HIDDEN)
    state[1, 2], state[3, 0] = torch.nan, torch.inf
    held.keep(batch, state)
    assert held.whole().tolist() == [[1.0] * HIDDEN, [0.0] * HIDDEN, [1.0] * HIDDEN, [0.0] * HIDDEN]


def test_a_state_that_is_lost_ends_the_training(dataset):
    feed = series_feed(dataset)
    feed.seek(0, 3)
    batch = next(iter(feed))
    with pytest.raises(TrainingFailed, match=r"epoch 0, batch 3.*the state of the batch before is lost"):
        CarriedState().start(batch, torch.zeros(4, HIDDEN))

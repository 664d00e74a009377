"""Batch norms learn of the samples alone, whatever stands in the empty slots of a last batch."""

import numpy as np
import pytest
import torch
from torch import nn

from millstream.training.optimization.batch_norm import batch_norms
from millstream.training.optimization.gradient_reduction import Averaged
from tests.training import fitted
from tests.training.tasks.made import batch

NORMED = {"name": "mlp/mlp", "hidden": [4], "norm": "batch"}
# weights that hardly move: what a norm has seen follows from the rows alone
STILL = {"epochs": 1, "optimizer": {"name": "sgd", "lr": 1e-9}}


def statistics(pieces, linear):
    """Running mean and variance by their definition, over pieces of rows, of which each has two or more."""
    mean, variance = torch.zeros(4), torch.ones(4)
    for rows in pieces:
        seen = linear(rows)
        mean = 0.9 * mean + 0.1 * seen.mean(dim=0)
        variance = 0.9 * variance + 0.1 * seen.var(dim=0)
    return mean, variance


def seen(found):
    """The samples of each batch of the epoch, side by side as the network takes them."""
    feed = found.job.rows.loader("train")
    feed.seek(0)
    return [torch.cat([part.reshape(len(part), -1) for part in one.arguments], dim=1)[one.mask_B] for one in feed]


def check_statistics(found, pieces):
    (norm,) = batch_norms(found.network)
    linear = next(one for one in found.network.modules() if isinstance(one, nn.Linear))
    with torch.no_grad():
        mean, variance = statistics(pieces, linear)
    torch.testing.assert_close(norm.running_mean, mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(norm.running_var, variance, atol=1e-5, rtol=1e-5)
    assert norm.num_batches_tracked == len(pieces)


# 70 rows: the last batch of 16 has 6 of them, the last of 23 a single one, which has no variance
@pytest.mark.parametrize(
    ("size", "accumulate", "last"), [(16, 1, [6]), (16, 2, [3, 3]), (23, 1, []), (35, 1, [35]), (24, 4, [5, 6, 5, 6])]
)
def test_running_statistics_are_those_of_the_samples(tmp_path, size, accumulate, last):
    dataset = fitted.rows(tmp_path / "data")
    fit = STILL | {"batch_size": size, "accumulate": accumulate}
    found = fitted.fitted(tmp_path, dataset, network=NORMED, fit=fit)
    samples = seen(found)
    whole = [piece for one in samples[:-1] for piece in one.split(size // accumulate)]
    check_statistics(found, [*whole, *(samples[-1].split(last) if last else [])])


@pytest.mark.fault
def test_a_step_that_is_not_taken_leaves_no_statistics_behind(tmp_path):
    dataset = fitted.rows(tmp_path / "data", spoil=[5])  # an infinity
    found = fitted.fitted(tmp_path, dataset, network=NORMED, fit=STILL | {"nan": "skip"})
    samples = seen(found)
    finite = [one for one in samples if torch.isfinite(one).all()]
    assert len(finite) == len(samples) - 1
    check_statistics(found, finite)
    assert np.isfinite(found.metrics["test/loss"])


def parts(network, one, accumulate=1):
    return Averaged(network, accumulate, torch.Tensor.backward).parts(one)


def test_a_rank_without_a_sample_steps_along_and_its_norms_learn_nothing():
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))
    before = network[1].running_mean.clone(), network[1].running_var.clone()
    one = batch(torch.randn(4, 1, 8, 8), real=0)._replace(real=3, ranks=2)  # the other rank has them
    for piece in parts(network, one):
        piece.mean(network(piece.arguments[0]).flatten(start_dim=1).sum(dim=1)).backward()
    assert torch.equal(network[1].running_mean, before[0])
    assert torch.equal(network[1].running_var, before[1])
    assert network[1].training
    assert network[0].weight.grad.abs().max() == 0  # it takes part in the mean over ranks


def test_where_no_row_looks_at_another_a_batch_stays_as_it_is():
    one = batch(torch.randn(4, 3), real=3)
    (piece,) = parts(nn.Linear(3, 1), one)
    assert piece is one
    full = batch(torch.randn(4, 3))
    (piece,) = parts(nn.BatchNorm1d(3), full)
    assert piece is full

import copy

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, cohen_kappa_score, mean_absolute_error
from torch import nn
from torch.nn import functional

from millstream.tracking.errors import WrongRecipe
from millstream.training.config.fit import Fit
from millstream.training.networks.mlp import mlp
from millstream.training.predictions.ordinal import log_probabilities
from millstream.training.tasks.ordinal import Config, Ordinal
from tests.training.signatures import number, signature, target
from tests.training.tasks.made import batch, measured

MADE = signature(number("a"), target(4))


def task(network=None, made=MADE):
    return Ordinal(Config(target="label"), network or nn.Identity(), made, Fit())


def test_probabilities_are_differences_of_the_cumulative_ones():
    score_B1 = torch.linspace(-6, 6, 13).double()[:, None]
    rising = torch.tensor([-1.0, 0.5, 3.0]).double()
    under = torch.cat([torch.zeros(13, 1), torch.sigmoid(rising - score_B1), torch.ones(13, 1)], dim=1)
    torch.testing.assert_close(log_probabilities(score_B1, rising).exp(), under.diff(dim=1))


def test_probabilities_far_out_neither_vanish_nor_overflow():
    found = log_probabilities(torch.tensor([[-200.0], [200.0]]), torch.tensor([-1.0, 1.0]))
    assert bool(torch.isfinite(found).all())
    torch.testing.assert_close(found.exp().sum(dim=1), torch.ones(2))


def test_two_classes_are_logistic_regression():
    made, x = task(made=signature(number("a"), target(2))), torch.randn(9, 1)
    truth = torch.arange(9) % 2
    loss_B, _ = made.rows(batch(x, target=truth))
    logit_B = x[:, 0] - made.network.rising
    expected = functional.binary_cross_entropy_with_logits(logit_B, truth.float(), reduction="none")
    torch.testing.assert_close(loss_B, expected)


def test_metrics_are_those_of_scikit_learn():
    x, truth = torch.randn(60, 1, generator=torch.Generator().manual_seed(0)) * 3, torch.arange(60) % 4
    made = task()
    found = measured(made, batch(x, target=truth, real=50))
    # the likeliest class, from the thresholds -1, 0 and 1 with which training begins
    edges = torch.sigmoid(torch.tensor([-1.0, 0.0, 1.0]) - x[:50])
    predicted = torch.cat([torch.zeros(50, 1), edges, torch.ones(50, 1)], dim=1).diff(dim=1).argmax(dim=1)
    assert found["test/accuracy"] == pytest.approx(accuracy_score(truth[:50], predicted))
    assert found["test/mae"] == pytest.approx(mean_absolute_error(truth[:50], predicted))
    assert found["test/kappa"] == pytest.approx(cohen_kappa_score(truth[:50], predicted, weights="quadratic"), rel=1e-4)
    assert made.figures().keys() == {"confusion"}


def test_thresholds_are_learned_and_kept_with_the_network():
    torch.manual_seed(0)
    network = mlp.build(mlp.Config(hidden=(8,)), Ordinal.network_signature(Config(target="label"), MADE))
    made, x = task(network), torch.randn(12, 1)
    made.rows(batch(x, target=torch.arange(12) % 4))[0].mean().backward()
    assert all(bool(one.grad.abs().sum() > 0) for one in made.network.parameters())
    with torch.no_grad():
        made.network.gaps.add_(1.0)
        before = copy.deepcopy(made.predict(x)["probabilities"])
        other = task(mlp.build(mlp.Config(hidden=(8,)), Ordinal.network_signature(Config(target="label"), MADE)))
        other.network.load_state_dict(made.network.state_dict())
        np.testing.assert_array_equal(other.predict(x)["probabilities"], before)
    np.testing.assert_allclose(np.sum(before, axis=1), 1, rtol=1e-6)


@pytest.mark.bad_input
def test_a_number_is_refused():
    with pytest.raises(WrongRecipe, match="no class by number"):
        task(made=signature(number("a"), number("label", role="target")))

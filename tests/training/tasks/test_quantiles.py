import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.metrics import mean_absolute_error, mean_pinball_loss
from torch import nn

from millstream.tracking.dataset.records import Affine
from millstream.tracking.errors import WrongRecipe
from millstream.training.config.fit import Fit
from millstream.training.tasks.quantiles import Config, Quantiles, pinball
from tests.training.signatures import number, signature
from tests.training.tasks.made import batch, measured

SHARES = (0.1, 0.5, 0.9)
MADE = signature(number("a"), number("price", role="target", affine=Affine(offset=40.0, factor=1 / 16)))


def task(network=None, made=MADE):
    return Quantiles(Config(target="price", shares=SHARES), network or nn.Identity(), made, Fit())


def made_outputs(rows=30):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, 3, generator=generator), torch.randn(rows, generator=generator)


def test_metrics_are_those_of_scikit_learn_in_raw_units():
    predicted_BQ, true_B = made_outputs()
    found = measured(task(), batch(predicted_BQ, target=true_B, real=23))
    raw, true = np.sort(predicted_BQ[:23].double().numpy() * 16 + 40), true_B[:23].double().numpy() * 16 + 40
    losses = [mean_pinball_loss(true, raw[:, at], alpha=share) for at, share in enumerate(SHARES)]
    assert found["test/pinball"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert found["test/mae"] == pytest.approx(mean_absolute_error(true, raw[:, 1]), rel=1e-4)
    assert found["test/coverage"] == pytest.approx(((raw[:, 0] <= true) & (true <= raw[:, 2])).mean())


def test_quantiles_in_order_are_none_the_worse():
    predicted_BQ, true_B = made_outputs(500)
    shares_Q = torch.tensor(SHARES)
    before, after = (pinball(one, true_B, shares_Q) for one in (predicted_BQ, predicted_BQ.sort(dim=1).values))
    assert bool((after <= before + 1e-6).all())


@given(share=st.floats(0.05, 0.95))
@settings(max_examples=20, deadline=None)
def test_the_loss_is_least_at_the_quantile(share):
    values = torch.arange(1001.0)
    candidates = torch.arange(0.0, 1001.0, 1.0)
    losses = torch.stack([pinball(at.expand(1001, 1), values, torch.tensor([share])).mean() for at in candidates])
    assert float(candidates[losses.argmin()]) == pytest.approx(share * 1000, abs=1)


def test_predictions_are_the_ordered_quantiles_in_raw_units():
    found = task().predict(torch.tensor([[1.0, 0.0, -1.0]]))
    np.testing.assert_allclose(found["quantiles"], [[24.0, 40.0, 56.0]])
    np.testing.assert_allclose(found["prediction"], [40.0])


@pytest.mark.bad_input
@pytest.mark.parametrize("shares", [(0.5, 0.1), (0.0, 0.5), (0.5, 1.0), (0.5, 0.5), (0.5,)])
def test_shares_that_do_not_rise_between_0_and_1_are_refused(shares):
    with pytest.raises(ValidationError):
        Config(target="price", shares=shares)


@pytest.mark.bad_input
def test_a_target_of_several_numbers_is_refused():
    several = number("price", role="target").model_copy(update={"layout": "tensor", "shape": (2,)})
    with pytest.raises(WrongRecipe, match="not one number a row"):
        task(made=signature(number("a"), several))

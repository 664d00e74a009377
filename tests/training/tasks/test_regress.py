import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from torch import nn

from tests.training.signatures import number, signature
from tests.training.tasks.made import batch, measured
from tracking.manifest import Affine
from training.fit_config import Fit
from training.tasks.regress import Config, Regress

SCALE = Affine(offset=40.0, factor=1 / 16)


class First(nn.Module):
    def forward(self, x):
        return x[:, :1]


def task():
    made = signature(number("a"), number("price", role="target", affine=SCALE))
    return Regress(Config(target="price"), First(), made, Fit())


def test_metrics_are_in_raw_units_and_the_loss_in_scaled_ones():
    generator = np.random.default_rng(0)
    guess, true = generator.normal(size=(2, 30)).astype(np.float32)
    found = measured(task(), batch(torch.from_numpy(guess)[:, None], target=torch.from_numpy(true), real=23))
    guess, true = guess[:23], true[:23]
    raw_guess, raw_true = (values.astype(np.float64) * 16 + 40 for values in (guess, true))
    expected = {
        "test/loss": oracle.mean_squared_error(true, guess),
        "test/rmse": oracle.root_mean_squared_error(raw_true, raw_guess),
        "test/mae": oracle.mean_absolute_error(raw_true, raw_guess),
        "test/mse": oracle.mean_squared_error(raw_true, raw_guess),
    }
    assert found == pytest.approx(expected, rel=1e-4)


def test_predictions_are_in_raw_units():
    found = task().predict(torch.tensor([[0.0], [1.0]]))
    np.testing.assert_allclose(found["prediction"], [40.0, 56.0])

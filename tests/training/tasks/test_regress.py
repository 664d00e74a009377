import io

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn import metrics as oracle
from torch import nn

from millstream.tracking.dataset.records import Affine
from millstream.training.config.fit import Fit
from millstream.training.tasks.regress import Config, Regress
from tests.training.signatures import number, signature
from tests.training.tasks.made import batch, measured

SCALE = Affine(offset=40.0, factor=1 / 16)


class First(nn.Module):
    def forward(self, x):
        return x[:, :1]


def task(**config):
    made = signature(number("a"), number("price", role="target", affine=SCALE))
    return Regress(Config(target="price", **config), First(), made, Fit())


@pytest.mark.parametrize(
    ("loss", "of"),
    [
        ("squared", lambda off: off**2),
        ("absolute", abs),
        ("huber", lambda off: off**2 / 2 if abs(off) <= 1 else abs(off) - 1 / 2),
    ],
)
def test_each_loss_is_its_formula_and_pulls_by_its_slope(loss, of):
    guess = torch.tensor([[0.3], [-0.9], [1.0], [4.0], [-7.5]], requires_grad=True)
    true = torch.tensor([0.1, 0.0, 0.0, 0.5, 0.0])
    found, _ = task(loss=loss).rows(batch(guess, target=true))
    off = [one - other for one, other in zip(guess[:, 0].tolist(), true.tolist(), strict=True)]
    assert found.tolist() == pytest.approx([of(one) for one in off], rel=1e-5)
    found.sum().backward()
    slopes = [(of(one + 1e-4) - of(one - 1e-4)) / 2e-4 for one in off]
    assert guess.grad[:, 0].tolist() == pytest.approx(slopes, rel=1e-3)


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


def test_the_fit_of_one_number_is_drawn_and_filmed_look_by_look():
    made = task()
    x = torch.linspace(-1, 1, 12)[:, None]
    looked = batch(x, target=x[:, 0], real=10)
    measured(made, looked)
    assert made.figures().keys() == {"residuals", "fit"}
    made.curve.reset()
    for _ in range(2):
        made.validation_step(looked, 0)
        made.on_validation_epoch_end()
    expected = torch.stack([x[:10, 0], x[:10, 0] * 16 + 40, x[:10, 0] * 16 + 40], dim=1)
    torch.testing.assert_close(made.course, [expected, expected])
    with Image.open(io.BytesIO(made.films()["fit"])) as film:
        assert film.format == "GIF"


def test_several_inputs_have_no_curve():
    made = signature(number("a"), number("b"), number("price", role="target"))
    several = Regress(Config(target="price"), First(), made, Fit())
    measured(several, batch(torch.randn(5, 2), target=torch.randn(5)))
    assert several.figures().keys() == {"residuals"}
    assert several.films() == {}

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, mean_squared_error
from torch import nn

from millstream.tracking.errors import WrongRecipe
from millstream.training.config.fit import Fit
from millstream.training.tasks.forecast import Config, Forecast
from tests.training.signatures import number, series, signature
from tests.training.tasks.made import batch, measured

PAST, FUTURE, CHANNELS = 5, 3, 2
HELD = signature(
    series("past", PAST, CHANNELS), series("series", FUTURE, CHANNELS).model_copy(update={"role": "target"})
)


class FirstSteps(nn.Module):
    """Repeats the first values of the past."""

    def forward(self, past_BLC):
        return past_BLC[:, :FUTURE]


def task(network=None, held=HELD, **config):
    return Forecast(Config(**config), network or FirstSteps(), held, Fit())


def drawn(rows=20, real=17):
    draw = torch.Generator().manual_seed(0)
    past, future = (torch.randn(rows, steps, CHANNELS, generator=draw) for steps in (PAST, FUTURE))
    return batch(past, target=future, real=real), past[:real].double().numpy(), future[:real].double().numpy()


def test_metrics_are_those_of_scikit_learn_over_all_values_of_the_real_windows():
    given, past, future = drawn()
    found = measured(task(), given)
    guess, true = past[:, :FUTURE].ravel(), future.ravel()
    mse = mean_squared_error(true, guess)
    expected = {"loss": mse, "mse": mse, "rmse": mse**0.5, "mae": mean_absolute_error(true, guess)}
    assert found == pytest.approx({f"test/{name}": value for name, value in expected.items()}, rel=1e-5)


def test_the_error_by_horizon_is_that_of_the_steps_and_of_repeating_the_last_value():
    given, past, future = drawn()
    found = task()
    measured(found, given, given)
    for name, guess in (("model", past[:, :FUTURE]), ("last_value", past[:, -1:])):
        expected = np.square(guess - future).mean(axis=(0, 2))
        np.testing.assert_allclose(found.by_horizon[name].compute(), expected, rtol=1e-5)
    assert set(found.figures()) == {"forecasts", "error_by_horizon"}


def test_a_forecast_is_a_list_of_steps_with_their_channels_together():
    given, past, _ = drawn()
    found = task().predict(*given.arguments)["forecast"]
    np.testing.assert_allclose(found[0], past[0, :FUTURE].ravel(), rtol=1e-6)


@pytest.mark.bad_input
def test_another_target_than_a_series_is_refused():
    with pytest.raises(WrongRecipe, match="put the step window into the recipe"):
        task(held=signature(series("past", PAST, CHANNELS), number("series", "target")))

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import mean_poisson_deviance, root_mean_squared_error
from torch import nn

from millstream.tracking.dataset.records import Affine
from millstream.tracking.errors import WrongRecipe
from millstream.training.config.fit import Fit
from millstream.training.tasks.count import Config, Count
from tests.training.signatures import number, signature
from tests.training.tasks.made import batch, measured

MADE = signature(number("a"), number("calls", role="target"))


def task(network=None, made=MADE):
    return Count(Config(target="calls"), network or nn.Identity(), made, Fit())


def test_metrics_are_those_of_scikit_learn_and_scipy():
    generator = np.random.default_rng(0)
    log_rate, count = generator.normal(size=30), generator.poisson(1.5, size=30)
    assert 0 in count
    x, y = torch.tensor(log_rate[:, None], dtype=torch.float32), torch.tensor(count, dtype=torch.float32)
    found = measured(task(), batch(x, target=y, real=23))
    rate, count = np.exp(log_rate[:23]), count[:23]
    log_likelihood = stats.poisson(rate).logpmf(count).mean()
    expected = {
        "test/loss": -log_likelihood,
        "test/log_likelihood": log_likelihood,
        "test/deviance": mean_poisson_deviance(count, rate),
        "test/rmse": root_mean_squared_error(count, rate),
    }
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_line_under_the_loss_is_the_generalized_linear_model():
    generator = np.random.default_rng(1)
    x = generator.normal(size=(400, 2))
    count = generator.poisson(np.exp(0.5 + x @ [0.4, -0.3]))
    oracle = PoissonRegressor(alpha=0, tol=1e-8).fit(x, count)
    line = nn.Linear(2, 1).double()
    made, whole = task(line), batch(torch.from_numpy(x), target=torch.from_numpy(count).double())
    optimizer = torch.optim.LBFGS(line.parameters(), max_iter=100, tolerance_grad=1e-9)

    def loss():
        optimizer.zero_grad()
        mean = made.rows(whole)[0].mean()
        mean.backward()
        return mean

    optimizer.step(loss)
    np.testing.assert_allclose(line.weight.detach().numpy()[0], oracle.coef_, rtol=1e-4)
    np.testing.assert_allclose(line.bias.item(), oracle.intercept_, rtol=1e-4)
    found = made.predict(torch.from_numpy(x))["prediction"]
    np.testing.assert_allclose(found, oracle.predict(x), rtol=1e-4)


@pytest.mark.bad_input
def test_a_scaled_count_is_refused():
    scaled = signature(number("a"), number("calls", role="target", affine=Affine(factor=0.5)))
    with pytest.raises(WrongRecipe, match="is scaled"):
        task(made=scaled)

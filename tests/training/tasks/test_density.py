import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import nn

from millstream.tracking.errors import BadData, WrongRecipe
from millstream.training.config.fit import Fit
from millstream.training.estimator_module import EstimatorModule
from millstream.training.networks.classical import gaussian_mixture, kmeans, logistic
from millstream.training.tasks.classify import Classify
from millstream.training.tasks.classify import Config as ClassConfig
from millstream.training.tasks.density import Config, Density
from millstream.training.tasks.regress import Config as NumberConfig
from millstream.training.tasks.regress import Regress
from tests.training.signatures import category, image, number, signature, target
from tests.training.tasks.made import batch, measured, stepping

PLANE = signature(number("a"), number("b"))


class Normal(nn.Module):
    """A network as a flow would be: it returns log p(x), and is trained by steps."""

    def __init__(self):
        super().__init__()
        self.mean = nn.Parameter(torch.tensor([3.0, -2.0]))

    def forward(self, x_B2):
        return torch.distributions.Normal(self.mean, 1.0).log_prob(x_B2).sum(dim=1)


def rows(count=200):
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(0))


def test_the_likelihood_is_the_mean_over_the_real_rows():
    x = rows()
    found = measured(Density(Config(), Normal(), PLANE, Fit()), batch(x[:150]), batch(x[150:], real=20))
    expected = multivariate_normal([3, -2]).logpdf(x[:170]).mean()
    assert found["test/log_likelihood"] == pytest.approx(expected, rel=1e-5)
    assert found["test/nll"] == found["test/loss"] == pytest.approx(-expected, rel=1e-5)


def test_a_network_of_densities_is_trained_towards_the_rows():
    network = Normal()
    task = Density(Config(), network, PLANE, Fit(optimizer={"name": "adam", "lr": 0.3}))
    stepping(task)
    for at in range(100):
        task.training_step(batch(rows()), at)
    torch.testing.assert_close(network.mean, rows().mean(dim=0), atol=0.05, rtol=0)


def test_the_registered_model_returns_the_density_of_new_rows():
    found = Density(Config(), Normal(), PLANE, Fit()).predict(rows(7))
    np.testing.assert_allclose(found["log_density"], multivariate_normal([3, -2]).logpdf(rows(7)), rtol=1e-5)


def test_the_map_shows_the_density_where_it_is():
    task = Density(Config(), Normal(), PLANE, Fit())
    measured(task, batch(rows() + torch.tensor([3.0, -2.0])))
    figures = task.figures()
    assert figures.keys() == {"log_densities", "density"}
    axes = figures["density"].axes[0]
    mesh = axes.collections[0]
    row, column = np.unravel_index(mesh.get_array().argmax(), mesh.get_array().shape)
    corner = mesh.get_coordinates()[row, column]
    np.testing.assert_allclose(corner, [3, -2], atol=0.15)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("a", "b")


def test_more_than_two_numbers_have_no_map():
    made = signature(number("a"), number("b"), number("c"))
    network = gaussian_mixture.build(gaussian_mixture.Config(parts=1), made)
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    network.fit((x,), None, torch.ones(50))
    task = Density(Config(), EstimatorModule(network), made, Fit())
    measured(task, batch(x))
    assert task.figures().keys() == {"log_densities"}


@pytest.mark.bad_input
def test_what_has_no_density_is_refused():
    with pytest.raises(BadData, match=r"task density: image \(image\): no real numbers"):
        Density(Config(), Normal(), signature(image(1, 8, 8)), Fit())
    with pytest.raises(BadData, match=r"categories \(category\): no real numbers"):
        Density(Config(), Normal(), signature(number("a"), category("c", 3)), Fit())
    with pytest.raises(WrongRecipe, match="learns a target, and the task density has none"):
        Density(Config(), EstimatorModule(logistic.build(logistic.Config(), PLANE)), PLANE, Fit())
    with pytest.raises(BadData, match=r"returns \(5, 2\) for 5 rows; the task density needs log p\(x\)"):
        Density(Config(), nn.Identity(), PLANE, Fit()).rows(batch(rows(5)))
    network = kmeans.build(kmeans.Config(clusters=2), PLANE)
    network.fit((rows(),), None, torch.ones(200))
    with pytest.raises(BadData, match="network classical/kmeans: returns no density"):
        Density(Config(), EstimatorModule(network), PLANE, Fit()).rows(batch(rows(5)))


@pytest.mark.bad_input
def test_what_learns_no_target_is_no_network_of_a_task_with_one():
    labelled = signature(number("a"), number("b"), target(3))
    for task, config in ((Classify, ClassConfig(target="label")), (Regress, NumberConfig(target="label"))):
        with pytest.raises(WrongRecipe, match=r"learns the inputs alone, and the task .* has a target to predict"):
            task(config, EstimatorModule(gaussian_mixture.build(gaussian_mixture.Config(), labelled)), labelled, Fit())

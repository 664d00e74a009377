import math

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from millstream.training.config.fit import Fit
from millstream.training.networks.generative import vae
from millstream.training.objectives.likelihood import bernoulli, kl_to_normal, log_likelihood
from millstream.training.tasks.variational import Config, Variational
from tests.training.signatures import image, signature, target
from tests.training.tasks.made import batch, measured


def test_the_divergence_is_that_of_torch_distributions():
    torch.manual_seed(0)
    mean, log_variance = torch.randn(2, 6, 4).double()
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(kl_to_normal(mean, log_variance), expected)


def test_the_likelihood_of_pixels_is_that_of_torch_distributions():
    torch.manual_seed(0)
    logits, x = torch.randn(5, 1, 3, 3), torch.randint(0, 2, (5, 1, 3, 3)).float()
    expected = Bernoulli(logits=logits).log_prob(x).sum(dim=(1, 2, 3))
    torch.testing.assert_close(bernoulli(logits, x), expected)


class OneCode(nn.Module):
    """A model with one number as code, whose likelihood can be integrated."""

    def encode(self, x):
        return torch.full((len(x), 1), 0.4).double(), torch.full((len(x), 1), -0.5).double()

    def decode(self, z):
        return (z @ torch.tensor([[1.5, -2.0, 0.3, 0.0]]).double() + 0.2).reshape(-1, 1, 2, 2)


def test_the_likelihood_of_an_image_is_the_integral_over_its_codes():
    torch.manual_seed(0)
    x = torch.tensor([[[[1.0, 0.0], [1.0, 1.0]]]]).double()
    z = torch.linspace(-12, 12, 20_001).double()[:, None]
    density = bernoulli(OneCode().decode(z), x.expand(len(z), 1, 2, 2)) + Normal(0.0, 1.0).log_prob(z[:, 0])
    exact = math.log(float(torch.trapezoid(density.exp(), z[:, 0])))
    # 20,000 samples leave an error of about .01 nats at these weights
    assert float(log_likelihood(OneCode(), x, 20_000)) == pytest.approx(exact, abs=0.03)


def test_the_bound_lies_under_the_likelihood():
    torch.manual_seed(0)
    made = signature(image(1, 4, 4), target(2))
    network = vae.build(vae.Config(latent=2, hidden=(16,)), made)
    task = Variational(Config(colour="label", samples=2000, images=8), network, made, Fit())
    images = (torch.rand(8, 1, 4, 4) > 0.5).float()
    found = measured(task, *(batch(images, target=torch.arange(8) % 2) for _ in range(40)))
    assert found["test/nll"] < found["test/loss"]
    figures = task.figures()
    assert figures.keys() == {"samples", "reconstructions", "interpolation", "latent"}


def test_predictions_are_codes_and_how_well_they_bring_the_image_back():
    made = signature(image(1, 4, 4))
    network = vae.build(vae.Config(latent=3), made)
    task = Variational(Config(), network, made, Fit()).eval()
    x = torch.rand(5, 1, 4, 4)
    with torch.no_grad():
        found = task.predict(x)
        again = torch.sigmoid(network(x))
    assert [len(code) for code in found["latent"]] == [3] * 5
    expected = (again - x).square().mean(dim=(1, 2, 3)).double()
    torch.testing.assert_close(torch.from_numpy(found["reconstruction_error"]), expected, rtol=1e-5, atol=1e-6)

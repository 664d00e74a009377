import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from millstream.training.objectives.distributions import Dropout, Gaussian, Mixture, mixture, quantile

GAUSSIAN = Gaussian(name="gaussian")


def softplus(x):
    return math.log1p(math.exp(x))


@given(mean=st.floats(-5, 5), spread=st.floats(-4, 4), y=st.floats(-8, 8))
@settings(max_examples=50, deadline=None)
def test_a_gaussian_head_is_the_normal_distribution(mean, spread, y):
    found = GAUSSIAN.distribution(torch.tensor([[mean, spread]]))
    expected = stats.norm(mean, softplus(spread) + GAUSSIAN.floor)
    # single precision: far from the mean the density has few digits
    assert float(found.log_prob(torch.tensor([y]))) == pytest.approx(expected.logpdf(y), rel=1e-3, abs=1e-4)
    assert float(found.cdf(torch.tensor([y]))) == pytest.approx(expected.cdf(y), abs=1e-5)


def test_a_mixture_is_the_sum_of_its_parts():
    torch.manual_seed(0)
    outputs_BP, y_B = torch.randn(7, 9), torch.randn(7)
    found = Mixture(name="mixture", parts=3, floor=0.1).distribution(outputs_BP)
    logits, mean, spread = outputs_BP.double().numpy().reshape(7, 3, 3).transpose(1, 0, 2)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    parts = stats.norm(mean, np.log1p(np.exp(spread)) + 0.1)
    expected = np.log((shares * parts.pdf(y_B.numpy()[:, None])).sum(axis=1))
    np.testing.assert_allclose(found.log_prob(y_B), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.mean, (shares * mean).sum(axis=1), rtol=1e-4, atol=1e-5)


def test_a_mixture_of_one_part_is_the_gaussian():
    torch.manual_seed(0)
    outputs_BP, y_B = torch.randn(20, 3), torch.randn(20)
    one = Mixture(name="mixture", parts=1, floor=0.02).distribution(outputs_BP)
    other = Gaussian(name="gaussian", floor=0.02).distribution(outputs_BP[:, 1:])
    torch.testing.assert_close(one.log_prob(y_B), other.log_prob(y_B))


def test_passes_are_weighed_as_gal_and_ghahramani_do():
    torch.manual_seed(0)
    outputs_BS, y_B = torch.randn(6, 40).double(), torch.randn(6).double()
    head = Dropout(name="dropout", precision=4.0, passes=40)
    tau, passes = head.precision, head.passes
    exponents = -0.5 * tau * (y_B[:, None] - outputs_BS).square()
    expected = torch.logsumexp(exponents, 1) - math.log(passes) - 0.5 * math.log(2 * math.pi) + 0.5 * math.log(tau)
    torch.testing.assert_close(
        head.distribution(outputs_BS).log_prob(y_B.float()), expected.float(), rtol=1e-5, atol=1e-5
    )


def test_the_quantile_of_one_part_is_that_of_the_normal_distribution():
    found = quantile(mixture(torch.zeros(1, 1), torch.full((1, 1), 2.0), torch.full((1, 1), 3.0)), 0.95)
    assert float(found) == pytest.approx(stats.norm(2, 3).ppf(0.95), rel=1e-5)


@given(share=st.floats(0.01, 0.99), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_a_quantile_has_its_share_under_it(share, seed):
    generator = torch.Generator().manual_seed(seed)
    logits, mean = torch.randn(2, 5, 4, generator=generator) * 2
    mixed = mixture(logits, mean, torch.rand(5, 4, generator=generator) + 0.1)
    # the slope of the distribution function, 4 at the most, times the rounding of single precision
    torch.testing.assert_close(mixed.cdf(quantile(mixed, share)), torch.full((5,), share), rtol=0, atol=1e-5)

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.optimize import minimize
from torch import nn

from millstream.training.config.fit import Fit
from millstream.training.config.optimizers import LBFGS, SGD, Adadelta, Adagrad, Adam, AdamW, RMSprop

START, STEPS = np.array([3.0, -2.0]), 6


def gradient(w):
    """Of a bowl that is steeper along the second axis."""
    return np.array([1.0, 5.0]) * w


def taken(config):
    """Where the optimizer of a config is after each step."""
    weight = nn.Parameter(torch.tensor(START))
    optimizer = config.build([weight])
    course = []
    for _ in range(STEPS):
        weight.grad = torch.tensor(gradient(weight.detach().numpy()))
        optimizer.step()
        course.append(weight.detach().numpy().copy())
    return course


def momentum(lr, mu):
    """Polyak 1964: v <- mu v + g, w <- w - lr v."""
    w, v = START.copy(), 0.0
    for _ in range(STEPS):
        v = mu * v + gradient(w)
        w = w - lr * v
        yield w


def nesterov(lr, mu):
    """Sutskever et al. 2013, equations 3 and 4; the weights are where the gradient is looked at, w + mu v."""
    w, v = START.copy(), np.zeros(2)
    for _ in range(STEPS):
        v = mu * v - lr * gradient(w + mu * v)
        w = w + v
        yield w + mu * v


def rmsprop(lr, alpha):
    """Tieleman & Hinton 2012, lecture 6e."""
    w, square = START.copy(), 0.0
    for _ in range(STEPS):
        g = gradient(w)
        square = alpha * square + (1 - alpha) * g**2
        w = w - lr * g / (np.sqrt(square) + 1e-8)
        yield w


def adagrad(lr):
    """Duchi et al. 2011, the diagonal form."""
    w, square = START.copy(), 0.0
    for _ in range(STEPS):
        g = gradient(w)
        square = square + g**2
        w = w - lr * g / (np.sqrt(square) + 1e-10)
        yield w


def adadelta(lr, rho):
    """Zeiler 2012, Algorithm 1."""
    w, square, moved = START.copy(), 0.0, 0.0
    for _ in range(STEPS):
        g = gradient(w)
        square = rho * square + (1 - rho) * g**2
        step = np.sqrt(moved + 1e-6) / np.sqrt(square + 1e-6) * g
        moved = rho * moved + (1 - rho) * step**2
        w = w - lr * step
        yield w


def adam(lr, beta1, beta2, *, l2=0.0, decay=0.0):
    """Kingma & Ba 2015, Algorithm 1; Loshchilov & Hutter 2019, Algorithm 2."""
    w, mean, square = START.copy(), 0.0, 0.0
    for step in range(1, STEPS + 1):
        g = gradient(w) + l2 * w
        mean = beta1 * mean + (1 - beta1) * g
        square = beta2 * square + (1 - beta2) * g**2
        unbiased, spread = mean / (1 - beta1**step), square / (1 - beta2**step)
        w = w - lr * decay * w - lr * unbiased / (np.sqrt(spread) + 1e-8)
        yield w


@pytest.mark.parametrize(
    ("config", "published"),
    [
        (SGD(name="sgd", lr=0.1), momentum(0.1, 0.0)),
        (SGD(name="sgd", lr=0.1, momentum=0.9), momentum(0.1, 0.9)),
        (SGD(name="sgd", lr=0.1, momentum=0.9, nesterov=True), nesterov(0.1, 0.9)),
        (RMSprop(name="rmsprop", lr=0.1, alpha=0.9), rmsprop(0.1, 0.9)),
        (Adagrad(name="adagrad", lr=0.1), adagrad(0.1)),
        (Adadelta(name="adadelta", lr=0.5, rho=0.8), adadelta(0.5, 0.8)),
        (Adam(name="adam", lr=0.1, betas=(0.8, 0.9), weight_decay=0.3), adam(0.1, 0.8, 0.9, l2=0.3)),
        (AdamW(name="adamw", lr=0.1, betas=(0.8, 0.9), weight_decay=0.3), adam(0.1, 0.8, 0.9, decay=0.3)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_each_optimizer_takes_the_published_steps(config, published):
    for step, expected in zip(taken(config), published, strict=True):
        np.testing.assert_allclose(step, expected, rtol=1e-6)


def test_lbfgs_finds_the_minimum_that_scipy_finds():
    def valley(x, y):
        return (1 - x) ** 2 + 10 * (y - x**2) ** 2  # Rosenbrock

    weight = nn.Parameter(torch.tensor([-1.0, 2.0], dtype=torch.float64))
    optimizer = LBFGS(name="lbfgs", iterations=60).build([weight])

    def look():
        optimizer.zero_grad()
        loss = valley(*weight)
        loss.backward()
        return loss

    optimizer.step(look)
    expected = minimize(lambda w: valley(*w), [-1.0, 2.0], method="L-BFGS-B").x
    np.testing.assert_allclose(weight.detach().numpy(), expected, atol=1e-3)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("fit", "message"),
    [
        ({"optimizer": {"name": "adamw", "momentum": 0.9}}, "momentum"),
        ({"optimizer": {"name": "sgd", "lr": 0.1, "nesterov": True}}, "set momentum: 0.9"),
        ({"optimizer": {"name": "lbfgs"}, "clip": 1.0}, "clip: lbfgs looks for its own length"),
        ({"optimizer": {"name": "lbfgs"}, "nan": "skip"}, "nan: lbfgs moves weights inside its step; use stop"),
        ({"batch_size": 10, "accumulate": 3}, "accumulate: 3 does not divide the batch_size 10"),
        ({"epochs": 2, "validate_every": 3, "keep": "best"}, "3 exceeds the 2 epochs, and keep: best needs validation"),
        ({"epochs": 2, "validate_every": 3, "early_stop": {"patience": 2}}, "and early_stop needs validation"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(fit, message):
    with pytest.raises(ValidationError, match=message):
        Fit.model_validate(fit)

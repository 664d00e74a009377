"""What is known of the moons that `generated` draws: their rows without Spark, and their density in closed form."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray
from scipy.special import logsumexp

from millstream.pipelines.sources.generated import moons
from millstream.tracking.seeds import key

ANGLES = 500


def rows(count: int, seed: int, noise: float = 0.1) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Rows (count, 2), and the moon of each."""
    made = [moons(Generator(PCG64(key(seed, "moons", at))), noise) for at in range(count)]
    return np.array([[one["x"], one["y"]] for one in made]), np.array([one["label"] for one in made])


def log_density(x_B2: NDArray[np.float64], noise: float = 0.1) -> NDArray[np.float64]:
    """log p(x): the mean over both half circles of a Gaussian, by the midpoint rule."""
    angles = (np.arange(ANGLES) + 0.5) * math.pi / ANGLES
    upper = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    centres = np.concatenate([upper, np.array([1, 0.5]) - upper])
    constant = math.log(len(centres)) + math.log(2 * math.pi * noise**2)
    found = []
    for some in np.array_split(x_B2, max(1, len(x_B2) // 250)):
        squared = ((some[:, None] - centres) ** 2).sum(axis=2)
        found.append(logsumexp(-squared / (2 * noise**2), axis=1) - constant)
    return np.concatenate(found)

"""Earlier trials as a strategy sees them, and its random numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from millstream.experiments.search.space import Point
from millstream.tracking import seeds


@dataclass(frozen=True)
class Trial:
    """A trial: its point and its loss (to minimize; infinite if it failed)."""

    point: Point
    loss: float


def best(trials: Sequence[Trial], count: int) -> list[Trial]:
    """The `count` best trials; on ties the earlier one first."""
    return sorted(trials, key=lambda trial: trial.loss)[:count]


def draw(seed: int, *names: object) -> float:
    """A uniform number in [0, 1), a pure function of `seed` and `names`."""
    return seeds.key("search", seed, *names) / 2**64


def uniform(seed: int, at: int, count: int) -> Point:
    """A uniformly distributed point for trial `at`."""
    return tuple(draw(seed, at, axis) for axis in range(count))


def gauss(seed: int, *names: object) -> float:
    """A standard normal number (Box & Muller 1958)."""
    size = math.sqrt(-2 * math.log(1 - draw(seed, *names, "size")))
    return size * math.cos(2 * math.pi * draw(seed, *names, "turn"))

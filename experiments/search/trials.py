"""What a strategy is told of the trials before: where each was, and how far it is from what is looked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from millstream.experiments.search.space import Point
from millstream.tracking import seeds


@dataclass(frozen=True)
class Told:
    """A trial: its point, and its loss, the smaller the better; infinite where it failed."""

    point: Point
    loss: float


def best(told: Sequence[Told], count: int) -> list[Told]:
    """The best ones, the earlier of two equal ones first."""
    return sorted(told, key=lambda one: one.loss)[:count]


def draw(seed: int, *names: object) -> float:
    """A number in 0 .. 1, 1 left out, that follows from its names alone."""
    return seeds.key("search", seed, *names) / 2**64


def uniform(seed: int, at: int, count: int) -> Point:
    """A point for trial `at`, all places as likely."""
    return tuple(draw(seed, at, axis) for axis in range(count))


def gauss(seed: int, *names: object) -> float:
    """A standard normal number (Box & Muller 1958)."""
    size = math.sqrt(-2 * math.log(1 - draw(seed, *names, "size")))
    return size * math.cos(2 * math.pi * draw(seed, *names, "turn"))

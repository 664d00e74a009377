"""Steady-state genetic algorithm: each trial is a child of two of the best ones and joins the population.

Sources: Whitley 1989, GENITOR (steady state); Goldberg & Deb 1991 (tournaments); Eshelman & Schaffer 1993 (blend
crossover, alpha = 0.5).
"""

from __future__ import annotations

from collections.abc import Sequence

from millstream.experiments.search.space import Point, Space
from millstream.experiments.search.trials import Trial, best, draw, gauss, uniform

POPULATION = 8
BLEND = 0.5
"""Extension of the blend range beyond the parents, as a multiple of their distance."""
MUTATION = 0.1
"""Standard deviation of a mutation, in units of the cube's side."""


def propose(space: Space, trials: Sequence[Trial], seed: int) -> Point:
    """The point of the next trial; the first population is uniformly random."""
    at, axes = len(trials), len(space.fields)
    if at < POPULATION:
        return uniform(seed, at, axes)
    alive = best(trials, POPULATION)
    mother, father = (_winner(alive, seed, at, name) for name in ("mother", "father"))
    return tuple(
        _gene(mother.point[axis], father.point[axis], count, axes, (seed, at, axis))
        for axis, count in enumerate(space.choices)
    )


def _winner(alive: Sequence[Trial], seed: int, at: int, name: str) -> Trial:
    """The better one of two random trials (binary tournament); `alive` is sorted."""
    first, second = (int(draw(seed, at, name, turn) * len(alive)) for turn in range(2))
    return alive[min(first, second)]


def _gene(mother: float, father: float, choices: int | None, axes: int, names: tuple[int, int, int]) -> float:
    """A blend of two numbers, or one of two categories; on average one gene per child mutates."""
    seed, at, axis = names
    mutates = draw(seed, at, axis, "mutates") < 1 / axes
    if choices is not None:
        if mutates:
            return draw(seed, at, axis, "mutation")
        return mother if draw(seed, at, axis, "side") < BLEND else father
    low, high = min(mother, father), max(mother, father)
    beyond = BLEND * (high - low)
    child = low - beyond + draw(seed, at, axis, "blend") * (high - low + 2 * beyond)
    child += MUTATION * gauss(seed, at, axis, "mutation") if mutates else 0.0
    return min(max(child, 0.0), 1.0)

"""A genetic algorithm of steady state: each trial is a child of two of the best ones, and takes its place among them.

Sources: Whitley 1989, GENITOR (steady state); Goldberg & Deb 1991 (tournaments); Eshelman & Schaffer 1993 (blend
crossover, alpha = 0.5).
"""

from __future__ import annotations

from collections.abc import Sequence

from millstream.experiments.search.space import Point, Space
from millstream.experiments.search.trials import Told, best, draw, gauss, uniform

POPULATION = 8
BLEND = 0.5
"""How far beyond its parents a child may lie, in their distance from each other."""
MUTATION = 0.1
"""Standard deviation of a mutation, in sides of the cube."""


def propose(space: Space, told: Sequence[Told], seed: int) -> Point:
    """The point of the next trial; those of the first population are drawn."""
    at, axes = len(told), len(space.fields)
    if at < POPULATION:
        return uniform(seed, at, axes)
    alive = best(told, POPULATION)
    mother, father = (_winner(alive, seed, at, name) for name in ("mother", "father"))
    return tuple(
        _gene(mother.point[axis], father.point[axis], count, axes, (seed, at, axis))
        for axis, count in enumerate(space.choices)
    )


def _winner(alive: Sequence[Told], seed: int, at: int, name: str) -> Told:
    """The better one of two that are drawn; `alive` is in order."""
    first, second = (int(draw(seed, at, name, turn) * len(alive)) for turn in range(2))
    return alive[min(first, second)]


def _gene(mother: float, father: float, choices: int | None, axes: int, names: tuple[int, int, int]) -> float:
    """A blend of two numbers, or one of two choices; one gene of a child mutates in the mean."""
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

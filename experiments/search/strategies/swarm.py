"""Particle swarm: each particle keeps its velocity and is attracted by its own best point and the best of all.

Sources: Kennedy & Eberhart 1995, Particle Swarm Optimization; constriction weights, which make it converge:
Clerc & Kennedy 2002.
"""

from __future__ import annotations

from collections.abc import Sequence

from millstream.experiments.search.space import Point, Space
from millstream.experiments.search.trials import Trial, best, draw, uniform

PARTICLES = 8
INERTIA = 0.7298
PULL = 1.49618


def propose(space: Space, trials: Sequence[Trial], seed: int) -> Point:
    """The point of the next trial: the particles take turns.

    A particle's velocity is its last displacement, so clipping at a face of the cube also clips the velocity.
    """
    at = len(trials)
    if at < PARTICLES:
        return uniform(seed, at, len(space.fields))
    own = trials[at % PARTICLES :: PARTICLES]
    here, before = own[-1].point, own[-2 if len(own) > 1 else -1].point
    (best_own,), (best_all,) = best(own, 1), best(trials, 1)
    moved = []
    for axis, place in enumerate(here):
        to_own = PULL * draw(seed, at, axis, "own") * (best_own.point[axis] - place)
        to_all = PULL * draw(seed, at, axis, "all") * (best_all.point[axis] - place)
        velocity = INERTIA * (place - before[axis]) + to_own + to_all
        moved.append(min(max(place + velocity, 0.0), 1.0))
    return tuple(moved)

"""Random search: uniform points, independent of earlier trials. Source: Bergstra & Bengio 2012, Random search."""

from __future__ import annotations

from collections.abc import Sequence

from millstream.experiments.search.space import Point, Space
from millstream.experiments.search.trials import Trial, uniform


def propose(space: Space, trials: Sequence[Trial], seed: int) -> Point:
    """The point of the next trial."""
    return uniform(seed, len(trials), len(space.fields))

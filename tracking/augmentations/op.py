"""Interface of augmentation ops: how parameters are sampled, and how they are applied.

Parameters are plain JSON values, stored with each augmented row, so that it can be recomputed from its parent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from millstream.tracking.seeds import key

Parameters = dict[str, Any]
Drawn = Sequence[Mapping[str, Parameters]]
"""Ops applied to a sample, in order, each `{name: its parameters}`."""


class Op(NamedTuple):
    """An augmentation op."""

    draw: Callable[[float, np.random.Generator], Parameters]
    """Samples parameters for a strength."""
    change: Callable[..., Any]
    """Returns the augmented sample, a pure function of the sample and the parameters."""
    strength: str
    """Meaning and unit of the strength."""
    most: float = math.inf
    """Maximum strength."""
    least: float = 0.0
    """Minimum strength with an effect; with 0, any above it has one."""

    def is_idle(self, strength: float) -> bool:
        """Whether the strength has no effect."""
        return strength <= 0 or strength < self.least

    @property
    def enough(self) -> str:
        """Remedy for a strength without effect."""
        return f"give {self.least:g} or more" if self.least else "give more than 0"


def drawn(changes: Mapping[str, Op], ops: Sequence[tuple[str, float]], *keys: object) -> list[dict[str, Parameters]]:
    """Parameters of each of `ops` (name and strength), seeded by `keys`, the op's position and its name."""
    return [
        {name: changes[name].draw(strength, generator_of(key(*keys, at, name)))}
        for at, (name, strength) in enumerate(ops)
    ]


def through(changes: Mapping[str, Op], sample: Any, ops: Drawn) -> Any:
    """The sample after all of `ops`."""
    for op in ops:
        for name, parameters in op.items():
            sample = changes[name].change(sample, parameters)
    return sample


def generator_of(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def draw_seed(generator: np.random.Generator) -> int:
    """A seed for draws too many to store: 62 bits, an exact integer in every JSON reader."""
    return int(generator.integers(1 << 62))


def in_place_of(own: Any, before: NDArray[np.float64], values: NDArray[np.float64], dtype: Any) -> NDArray[Any]:
    """Cells of `own` (as floats: `before`) after they were changed to `values`; non-finite values become None.

    Unchanged cells are kept: integers of more than 53 bits are not exact as floats.
    """
    cells = np.array(own, dtype=object)
    is_changed = np.isfinite(values) & (values != before)
    cells[is_changed] = as_dtype(values[is_changed], np.dtype(dtype)).tolist()
    cells[~np.isfinite(values)] = None
    return cells


def as_dtype(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """The values in `dtype`; rounded and clipped for integer types."""
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        values = np.clip(np.rint(values), info.min, info.max)
        is_inside = values < float(info.max)  # 2**63 - 1 is not a float and rounds up to 2**63
        return np.where(is_inside, np.where(is_inside, values, 0).astype(dtype), info.max).astype(dtype)
    changed: NDArray[Any] = values.astype(dtype)
    return changed

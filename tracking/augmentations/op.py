"""What every augmentation is: how its parameters are drawn, and what it does with them.

Parameters are plain JSON values, written beside each changed row, so that the row can be made again from its parent.
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
"""The ops that a sample goes through, in order, each `{name: its parameters}`."""


class Op(NamedTuple):
    """One kind of change of a sample."""

    draw: Callable[[float, np.random.Generator], Parameters]
    """Parameters for a strength."""
    change: Callable[..., Any]
    """The changed sample, a pure function of the sample and the parameters."""
    strength: str
    """What the strength says, with its unit."""
    most: float = math.inf
    """The largest strength."""
    least: float = 0.0
    """The smallest strength that changes anything; with 0 any above it does."""

    def is_idle(self, strength: float) -> bool:
        """Whether no sample would be changed."""
        return strength <= 0 or strength < self.least

    @property
    def enough(self) -> str:
        """What strength is none of those."""
        return f"give {self.least:g} or more" if self.least else "give more than 0"


def drawn(changes: Mapping[str, Op], ops: Sequence[tuple[str, float]], *keys: object) -> list[dict[str, Parameters]]:
    """The parameters of each of `ops` (name and strength), which follow from `keys`, the op's place and its name."""
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
    """A seed for the draws that are too many to be written down: 62 bits, a whole number in every JSON reader."""
    return int(generator.integers(1 << 62))


def in_place_of(own: Any, before: NDArray[np.float64], values: NDArray[np.float64], dtype: Any) -> NDArray[Any]:
    """Cells of `own`, held in floats as `before`, that were changed to `values`: None where these are not finite.

    What was not changed stays as it is: a whole number of more than 53 bits has no float of its own.
    """
    cells = np.array(own, dtype=object)
    is_changed = np.isfinite(values) & (values != before)
    cells[is_changed] = as_dtype(values[is_changed], np.dtype(dtype)).tolist()
    cells[~np.isfinite(values)] = None
    return cells


def as_dtype(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """The values in `dtype`; whole-number types get rounded and clipped ones."""
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        values = np.clip(np.rint(values), info.min, info.max)
        is_inside = values < float(info.max)  # of 2**63 - 1, which is no float, that is the next one
        return np.where(is_inside, np.where(is_inside, values, 0).astype(dtype), info.max).astype(dtype)
    changed: NDArray[Any] = values.astype(dtype)
    return changed

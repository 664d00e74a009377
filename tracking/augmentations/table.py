"""Augmentations of a row of numbers, pure functions of the row and its sampled parameters. Axis: D columns."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.tracking.augmentations.op import Op, Parameters, draw_seed, generator_of

Row = NDArray[Any]


def noise(row_D: Row, parameters: Parameters, *, deviations_D: Row) -> Row:
    """The row plus Gaussian noise of `deviation` times each column's standard deviation; missing values (NaN) stay."""
    normal_D = generator_of(parameters["seed"]).standard_normal(len(row_D))
    changed: Row = row_D + normal_D * deviations_D * parameters["deviation"]
    return changed


def draw_noise(deviation: float, generator: np.random.Generator) -> Parameters:
    return {"deviation": deviation, "seed": draw_seed(generator)}


def changes(deviations_D: Row) -> dict[str, Op]:
    """All ops for rows with column standard deviations `deviations_D` in the train split."""
    return {"noise": Op(draw_noise, partial(noise, deviations_D=deviations_D), "share of each column's deviation")}


CHANGES: dict[str, Op] = changes(np.ones(1))

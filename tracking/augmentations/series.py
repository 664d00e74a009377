"""Time series augmentations, each a pure function of the series and its sampled parameters.

Axes: T time, C channels. Series keep their dtype. Um et al. 2017, doi:10.1145/3136755.3136817.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy  # its submodules are imported at their first use
from numpy.typing import NDArray

from millstream.tracking.augmentations.op import Op, Parameters, as_dtype, draw_seed, generator_of

Series = NDArray[Any]
KNOTS = 4
"""Inner knots of a time warp, as in Um et al."""
SLOWEST = 0.1
"""Minimum speed of a time warp, so that time stays monotone."""


def jitter(series_TC: Series, parameters: Parameters) -> Series:
    """The series plus Gaussian noise of `deviation` times each channel's standard deviation within the series.

    Differs from Um et al., whose deviation is absolute and assumes series on a common scale.
    """
    normal_TC = generator_of(parameters["seed"]).standard_normal(series_TC.shape)
    own_C = series_TC.astype(np.float64).std(axis=0)
    return as_dtype(series_TC + normal_TC * own_C * parameters["deviation"], series_TC.dtype)


def scale(series_TC: Series, parameters: Parameters) -> Series:
    """The series with each channel times a random factor, normal with mean 1 and standard deviation `deviation`."""
    factor_C = 1 + parameters["deviation"] * generator_of(parameters["seed"]).standard_normal(series_TC.shape[1])
    return as_dtype(series_TC * factor_C, series_TC.dtype)


def warp(series_TC: Series, parameters: Parameters) -> Series:
    """Time warp: time runs faster and slower in turn; first and last step stay in place.

    Speeds at the ends and at 4 knots are normal with mean 1 and standard deviation `deviation`, interpolated by a
    cubic spline.
    """
    steps = len(series_TC)
    if steps < 2:
        return series_TC
    speeds = 1 + parameters["deviation"] * generator_of(parameters["seed"]).standard_normal(KNOTS + 2)
    speed_T = scipy.interpolate.CubicSpline(np.linspace(0, steps - 1, KNOTS + 2), speeds)(np.arange(steps))
    passed_T = np.concatenate([[0.0], np.cumsum(np.maximum(speed_T[1:], SLOWEST))])
    return _at(series_TC, passed_T * (steps - 1) / passed_T[-1])


def cut(series_TC: Series, parameters: Parameters) -> Series:
    """Window slicing: a window of `kept` times the length, at fraction `start` of the rest, stretched to full length.

    Le Guennec et al. 2016, hal-01357973.
    """
    last = len(series_TC) - 1
    first = parameters["start"] * (1 - parameters["kept"]) * last
    return _at(series_TC, first + np.linspace(0, parameters["kept"] * last, len(series_TC)))


def permute(series_TC: Series, parameters: Parameters) -> Series:
    """The series split into `segments` of equal length (to a step), in random order."""
    pieces = np.array_split(series_TC, min(parameters["segments"], max(1, len(series_TC))))
    order = generator_of(parameters["seed"]).permutation(len(pieces))
    return np.concatenate([pieces[at] for at in order])


def draw_deviation(deviation: float, generator: np.random.Generator) -> Parameters:
    return {"deviation": deviation, "seed": draw_seed(generator)}


def draw_cut(share: float, generator: np.random.Generator) -> Parameters:
    return {"kept": 1 - share, "start": round(float(generator.random()), 6)}


def draw_permute(segments: float, generator: np.random.Generator) -> Parameters:
    return {"segments": max(1, int(segments)), "seed": draw_seed(generator)}


CHANGES: dict[str, Op] = {
    "jitter": Op(draw_deviation, jitter, "share of each channel's deviation"),
    "scale": Op(draw_deviation, scale, "deviation of the factor"),
    "warp": Op(draw_deviation, warp, "deviation of the speed", 1),
    "slice": Op(draw_cut, cut, "share that is cut off", 0.99),
    "permute": Op(draw_permute, permute, "segments", least=2),
}


def _at(series_TC: Series, times_T: NDArray[np.float64]) -> Series:
    """The series at the given times (in steps), by linear interpolation."""
    own_T = np.arange(len(series_TC))
    read = [np.interp(times_T, own_T, channel_T.astype(np.float64)) for channel_T in series_TC.T]
    return as_dtype(np.stack(read, axis=1), series_TC.dtype)

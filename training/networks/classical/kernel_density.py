"""Kernel density estimate with Gaussian kernels on all training rows, by scikit-learn.

Source: Parzen 1962, doi:10.1214/aoms/1177704472.
Axes: B rows, D features, N training rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from sklearn import neighbors

from millstream.tracking.dataset.signature import Signature
from millstream.training.estimator import width
from millstream.training.networks.classical._array_state import Arrays, Learned


class Config(BaseModel, frozen=True, extra="forbid"):
    deviation: float = Field(
        gt=0, description="bandwidth: standard deviation of each kernel, in units of the prepared inputs"
    )


TINY = Config(deviation=0.1)


def build(config: Config, signature: Signature) -> KernelDensity:
    return KernelDensity(config, width(signature))


class KernelDensity(Arrays):
    axes = {"rows": "ND"}  # noqa: RUF012

    def __init__(self, config: Config, width: int) -> None:
        super().__init__(width)
        self.config = config
        self.density: Any = None

    def find(self, x_BD: NDArray[np.float64]) -> Learned:
        return {"rows": x_BD}

    def use(self) -> None:
        self.density = neighbors.KernelDensity(bandwidth=self.config.deviation).fit(self.fitted["rows"])

    def scores(self, x_BD: NDArray[Any]) -> NDArray[Any]:
        """log p(x) in nats, (B,)."""
        return np.asarray(self.density.score_samples(x_BD.astype(np.float64)))

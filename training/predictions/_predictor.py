"""Base of predictors: what a registered model does with the output of its network.

A predictor is a file `training/predictions/<task>.py` with a class `Predictor`. It is kept in the model as plain
values, and needs neither Lightning nor the task that was trained. One whose network may be an estimator
computes in numpy, so that such a model needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from numpy.typing import NDArray
from pydantic import BaseModel

from millstream.tracking.errors import WrongRecipe

Columns = dict[str, NDArray[Any] | list[Any]]
"""One value per row, by name."""


class Base(BaseModel, frozen=True, extra="forbid"):
    outputs: ClassVar[Mapping[str, str]]
    """Columns that `predict` returns, and the type of each: string, long, double, Array(double) or Array(string)."""
    generated: ClassVar[Mapping[str, str]] = {}
    """Columns of the samples that `generate` returns, and the type of each; empty where it generates nothing."""

    def module(self, network: Any) -> Any:
        """The module that the task trains, around a network that was built from its recipe."""
        return network

    def predict(self, network: Any, *inputs: Any) -> Columns:
        """The columns of `outputs` for inputs in the order of the signature.

        The inputs are tensors, and arrays where the network is an estimator.
        """
        raise NotImplementedError(f"{type(self).__module__} does not define predict()")

    def generate(self, network: Any, count: int, seed: int) -> Columns:
        """`count` samples drawn with `seed`: the columns of `generated`."""
        raise WrongRecipe.at("model", f"the task {type(self).__module__.rpartition('.')[2]} generates nothing")

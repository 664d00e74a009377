"""Predictions by a network of torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from millstream.training.checkpoints import archive
from millstream.training.feed.batch import Ragged, Value
from millstream.training.predictions._predictor import Base, Columns
from millstream.training.serving.arrays import Inputs, Padded
from millstream.training.serving.model import ROWS_AT_ONCE, Trained

WEIGHTS = "weights.pt"


class Network(Trained):
    """A network in evaluation mode, with the predictor of its task."""

    @property
    def rows_at_once(self) -> int:
        return ROWS_AT_ONCE

    def predict(self, inputs: Inputs) -> Columns:
        with torch.no_grad():
            return self.predictor.predict(self.part, *tensors(inputs))


def load(build: Callable[[], Any], predictor: Base, folder: Path, *, channels_last: bool) -> Network:
    """The network that `build` makes, with the trained weights in `folder`."""
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
        built = build()
    # the weights are enough: the output of a convolution has the layout of its weights
    placed = built.to(memory_format=torch.channels_last) if channels_last else built
    network = predictor.module(placed)
    network.load_state_dict(archive.load(folder / WEIGHTS))
    return Network(network.eval(), predictor)


def tensors(inputs: Inputs) -> tuple[Value, ...]:
    return tuple(_tensor(one) for one in inputs)


def _tensor(one: NDArray[Any] | Padded) -> Value:
    if isinstance(one, Padded):
        return Ragged(torch.from_numpy(one.values_BT), torch.from_numpy(one.lengths_B))
    return torch.from_numpy(one)

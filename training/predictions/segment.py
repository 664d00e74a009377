"""Foreground probabilities of an image's pixels, assembled from tiles where the network was trained on tiles.

Axes: B rows, N pixels.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from millstream.training.layers.image_tiles import tiled
from millstream.training.predictions._predictor import Base, Columns
from millstream.training.tensors import as_numpy


class Predictor(Base):
    outputs: ClassVar = {"probabilities": "Array(double)", "share": "double"}
    tile: int | None = Field(description="side of the tiles in pixels; None for whole images")
    margin: int = Field(description="pixels at each edge of a tile that the adjacent tile predicts")

    def scores(self, network: Any, image_BCHW: Tensor) -> Tensor:
        """Logits of every pixel; for an image larger than a tile, assembled from tiles."""
        if self.tile is None or image_BCHW.shape[2:] == (self.tile, self.tile):
            scores_B1HW: Tensor = network(image_BCHW)
            return scores_B1HW
        return tiled(network, image_BCHW, self.tile, self.margin)

    def predict(self, network: Any, *inputs: Any) -> Columns:
        probability_BN = torch.sigmoid(self.scores(network, inputs[0]).double()).flatten(start_dim=1)
        return {
            "probabilities": list(as_numpy(probability_BN)),
            "share": as_numpy((probability_BN > 1 / 2).double().mean(1)),
        }

"""Binary segmentation of images: per-pixel cross-entropy and Dice loss.

Sources: Dice loss: Milletari et al. 2016, arXiv 1606.04797, equation 1 without its squares; the sum with cross-entropy
as in Isensee et al. 2021, doi:10.1038/s41592-020-01008-z.
Axes: B rows, H height, W width; a mask has one channel, 1 for the foreground.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import torch
from matplotlib.figure import Figure
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import BinaryAccuracy, BinaryF1Score, BinaryJaccardIndex

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.tracking.figures.overlays import overlays
from millstream.training.config.fit import Fit
from millstream.training.feed.batch import Batch
from millstream.training.layers.image_tiles import cut
from millstream.training.predictions import segment as prediction
from millstream.training.task import Task
from millstream.training.tensors import as_numpy

SHOWN = 12
SMOOTH = 1.0
"""Pixels added to numerator and denominator, so that an empty mask predicted as empty has no loss."""


class Config(BaseModel, frozen=True, extra="forbid"):
    target: str = Field(description="column with the mask")
    loss: Literal["bce", "dice", "bce-dice"] = Field(
        "bce-dice", description="pixel-wise binary cross-entropy, 1 - Dice of each mask, or their sum"
    )
    positive: float = Field(1.0, gt=0, description="weight of a foreground pixel relative to a background pixel (bce)")
    tile: int | None = Field(
        None, ge=2, description="side of the random square crops to train on; whole images are predicted tile by tile"
    )
    margin: int = Field(
        16, ge=0, description="pixels at each edge of a tile that are discarded; the adjacent tile predicts them"
    )

    @model_validator(mode="after")
    def _tiles_have_a_middle(self) -> Self:
        if self.tile is not None and 2 * self.margin >= self.tile:
            raise ValueError(f"margin: {self.margin} on both sides leave nothing of a tile of {self.tile}")
        return self


TINY = Config(target="target", tile=4, margin=1)


class Segment(Task):
    """IoU and Dice over all pixels of the split, at a probability threshold of 1/2."""

    outputs: ClassVar = prediction.Predictor.outputs
    directions: ClassVar = {"iou": "max", "dice": "max", "accuracy": "max"}
    positive: Tensor

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        """Raises BadData for a target that is not a mask with one channel."""
        super().__init__(config, network, signature, fit)
        target = signature.target
        if target is None or target.meaning != "mask" or target.shape[0] != 1:
            found = "none" if target is None else f"{target.meaning} of shape {target.shape}"
            raise BadData.at("task segment", f"target {config.target!r} is {found}; it has to be a mask of one map")
        image = signature.single("image")
        if config.tile is not None and min(image.shape[1:]) < config.tile:
            raise BadData.at(
                "task segment", f"tiles of {config.tile} in images of {image.shape[1:]}; make them smaller"
            )
        self.register_buffer("positive", torch.tensor(config.positive), persistent=False)
        self.shown: list[tuple[Tensor, Tensor, Tensor]] = []

    @classmethod
    def network_signature(cls, config: Config, signature: Signature) -> Signature:
        """With tiles, the signature of a network whose input has the size of a tile."""
        if config.tile is None:
            return signature
        image = signature.single("image")
        return signature.model_copy(
            update={"inputs": (image.model_copy(update={"shape": (image.shape[0], config.tile, config.tile)}),)}
        )

    def rows(self, batch: Batch) -> tuple[Tensor, Tensor]:
        (image_BCHW,), true_B1HW = batch.arguments, batch.truth
        if self.training and self.config.tile is not None:
            image_BCHW, true_B1HW = self.drawn_tiles(image_BCHW, true_B1HW)
        scores_B1HW = self.predictor.scores(self.network, image_BCHW)
        true_B1HW = true_B1HW.clamp(max=1).to(scores_B1HW)  # masks of several objects number them
        return self.loss(scores_B1HW, true_B1HW), scores_B1HW

    def drawn_tiles(self, image_BCHW: Tensor, true_B1HW: Tensor) -> tuple[Tensor, Tensor]:
        """One random square crop of each image and its mask, at a uniform position."""
        room_2 = torch.tensor(image_BCHW.shape[2:], device=image_BCHW.device) - self.config.tile + 1
        starts_2B1 = (torch.rand(2, len(image_BCHW), 1, device=image_BCHW.device) * room_2[:, None, None]).long()
        return cut(image_BCHW, starts_2B1, self.config.tile), cut(true_B1HW, starts_2B1, self.config.tile)

    def loss(self, scores_B1HW: Tensor, true_B1HW: Tensor) -> Tensor:
        """Loss of each row, (B,)."""
        found = torch.zeros(len(scores_B1HW), device=scores_B1HW.device)
        if "bce" in self.config.loss:
            found = found + cross_entropy(scores_B1HW, true_B1HW, self.positive)
        if "dice" in self.config.loss:
            found = found + 1 - soft_dice(torch.sigmoid(scores_B1HW), true_B1HW)
        return found

    def metrics(self) -> dict[str, Metric]:
        return {"iou": BinaryJaccardIndex(), "dice": BinaryF1Score(), "accuracy": BinaryAccuracy()}

    def outcomes(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        predicted, true = (torch.sigmoid(output[batch.mask_B]) > 1 / 2), (batch.truth[batch.mask_B] > 0)
        pixels = {"shared": predicted & true, "predicted": predicted, "true": true}
        return {name: found.flatten(start_dim=1).sum(dim=1) for name, found in pixels.items()}

    def measure(self, metrics: MetricCollection, output: Tensor, batch: Batch) -> None:
        probabilities, true = torch.sigmoid(output[batch.mask_B].detach()), batch.truth[batch.mask_B].clamp(max=1)
        metrics.update(probabilities, true.long())
        if self.trainer.testing and sum(len(images) for images, _, _ in self.shown) < SHOWN:
            self.shown.append((batch.arguments[0][batch.mask_B], true[:, 0], probabilities[:, 0]))

    @property
    def predictor(self) -> prediction.Predictor:
        return prediction.Predictor(tile=self.config.tile, margin=self.config.margin)

    def figures(self) -> dict[str, Figure]:
        if not self.shown:
            return {}
        images, true, predicted = (as_numpy(torch.cat(parts)[:SHOWN]) for parts in zip(*self.shown, strict=True))
        return {"overlays": overlays(images, true, predicted)}


def cross_entropy(scores_B1HW: Tensor, true_B1HW: Tensor, positive: Tensor) -> Tensor:
    """Mean cross-entropy over the pixels of a row, in nats, (B,); foreground pixels are weighted by `positive`."""
    each = functional.binary_cross_entropy_with_logits(scores_B1HW, true_B1HW, pos_weight=positive, reduction="none")
    return each.flatten(start_dim=1).mean(dim=1)


def soft_dice(probability_B1HW: Tensor, true_B1HW: Tensor) -> Tensor:
    """2 |A and B| / (|A| + |B|) of each row, (B,), with probabilities instead of a binary mask."""
    both = (probability_B1HW * true_B1HW).flatten(start_dim=1).sum(dim=1)
    all_of_them = (probability_B1HW + true_B1HW).flatten(start_dim=1).sum(dim=1)
    return (2 * both + SMOOTH) / (all_of_them + SMOOTH)

"""Prediction of each frame of a sequence from the frames before it: music as a piano roll, say.

Source: Boulanger-Lewandowski et al. 2012, arXiv 1206.6392; frame accuracy: Bay et al. 2009.
Axes: B rows, T frames, C values of a frame.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import Metric, MetricCollection

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.figures.piano_roll import piano_rolls
from millstream.training.config.fit import Fit
from millstream.training.feed.batch import Batch
from millstream.training.metrics.element_mean import ElementMean
from millstream.training.predictions import next_frames as prediction
from millstream.training.task import Task
from millstream.training.tensors import as_numpy

SAMPLED, SEED = 1, 0
"""Sequences that are generated for the figure, and their seed."""


class Config(BaseModel, frozen=True, extra="forbid"):
    lengths: str | None = Field(None, description="column with the number of frames of a row that are no padding")


class NextFrames(Task):
    """Negative log-likelihood of a frame of independent values in {0, 1}, in nats, over all frames but the first of a
    row; the accuracy of frames, TP / (TP + FP + FN) of the values predicted with a probability above 1/2."""

    outputs: ClassVar = prediction.Predictor.outputs
    generated: ClassVar = prediction.Predictor.generated
    directions: ClassVar = {"nll": "min", "frame_accuracy": "max"}
    needs: ClassVar = ("each_step",)
    trains_estimators: ClassVar = False

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        """Raises WrongRecipe for a network that sees the frame that it is to predict."""
        super().__init__(config, network, signature, fit)
        if not self.network.is_causal:
            raise WrongRecipe.at("network", "reads both ways, so that it sees the frames that it is to predict")
        self.shown: tuple[Tensor, Tensor] | None = None

    @classmethod
    def targets_of(cls, config: Config) -> tuple[str, ...]:
        return () if config.lengths is None else (config.lengths,)

    @classmethod
    def network_signature(cls, config: Config, signature: Signature) -> Signature:
        """As many outputs as a frame has values. Raises BadData for other data than one series."""
        frames = signature.single("series")
        vector = {"name": "frame", "meaning": "vector", "shape": frames.shape[1:]}
        return signature.model_copy(update={"targets": (frames.model_copy(update=vector),)})

    def rows(self, batch: Batch) -> tuple[Tensor, Any]:
        (frames_BTC,) = batch.arguments
        predicted_B = self._predicted(batch)
        scores_BTC, _ = self.network.each_step(frames_BTC[:, :-1], predicted_B)
        nll_BTC = functional.binary_cross_entropy_with_logits(scores_BTC, frames_BTC[:, 1:], reduction="none")
        return (nll_BTC.sum(dim=2) * self._inside(scores_BTC, predicted_B)).sum(dim=1), scores_BTC

    def counts(self, batch: Batch) -> Tensor:
        return self._predicted(batch)

    def metrics(self) -> dict[str, Metric]:
        return {"nll": ElementMean(), "frame_accuracy": ElementMean()}

    def measure(self, metrics: MetricCollection, output: Tensor, batch: Batch) -> None:
        real = batch.present()
        scores_BTC, true_BTC, predicted_B = (
            output[batch.mask_B].detach(),
            real.arguments[0][:, 1:],
            self._predicted(real),
        )
        inside_BT = self._inside(scores_BTC, predicted_B)
        nll_BTC = functional.binary_cross_entropy_with_logits(scores_BTC, true_BTC, reduction="none")
        metrics["nll"].update((nll_BTC.sum(dim=2) * inside_BT).sum(dim=1), predicted_B)
        is_played, is_true = (scores_BTC > 0) & inside_BT[:, :, None], (true_BTC > 0) & inside_BT[:, :, None]
        shared_B, either_B = ((is_played & is_true).sum(dim=(1, 2)), (is_played | is_true).sum(dim=(1, 2)))
        metrics["frame_accuracy"].update(shared_B, either_B)
        if self.trainer.testing and self.shown is None and len(predicted_B):
            length = int(predicted_B[0])
            self.shown = true_BTC[0, :length], torch.sigmoid(scores_BTC[0, :length])

    def outcomes(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        losses_B, _ = self.rows(batch)
        return {"nll": (losses_B / self._predicted(batch).clamp(min=1))[batch.mask_B]}

    @property
    def predictor(self) -> prediction.Predictor:
        steps, values = self.signature.inputs[0].shape
        return prediction.Predictor(steps=steps, values=values)

    def figures(self) -> dict[str, Figure]:
        if self.shown is None:
            return {}
        true_TC, probability_TC = (as_numpy(one) for one in self.shown)
        sampled = self.generate(SAMPLED, SEED)["frames"][0].reshape(-1, true_TC.shape[1])
        return {"piano_roll": piano_rolls({"true": true_TC, "predicted": probability_TC, "generated": sampled})}

    def _predicted(self, batch: Batch) -> Tensor:
        """Number of predicted frames of each row: all but the first, without the padding; (b,)."""
        frames = batch.arguments[0]
        if self.config.lengths is None:
            return torch.full((len(frames),), frames.shape[1] - 1, device=frames.device)
        return (batch.truth.reshape(-1).long() - 1).clamp(min=0, max=frames.shape[1] - 1)

    @staticmethod
    def _inside(scores_BTC: Tensor, predicted_B: Tensor) -> Tensor:
        return torch.arange(scores_BTC.shape[1], device=scores_BTC.device) < predicted_B[:, None]

"""Recurrent network over a sequence: tokens, a series, or an image read row by row or pixel by pixel.

Source: pixel by pixel: Le et al. 2015, arXiv 1504.00941.
Axes: B rows, T steps, I inputs of a step, E embedding, C channels, H height, W width, K scores.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from millstream.tracking.dataset.signature import InputField, Signature
from millstream.tracking.errors import BadData
from millstream.training.feed.batch import Ragged
from millstream.training.layers.recurrent import Recurrent, RecurrentConfig


class Config(RecurrentConfig, frozen=True, extra="forbid"):
    embedding: int = Field(64, ge=1, description="token embedding dimension, E")
    image: Literal["rows", "pixels"] = Field("rows", description="a step is a row of the image, or a pixel")
    scores: Literal["last", "mean"] = Field(
        "last", description="scores from the last state, or the mean of all outputs"
    )
    head_dropout: float = Field(0.0, ge=0, lt=1, description="dropout probability before the scores")


TINY = Config(embedding=8, hidden=8)


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData for other inputs than one sequence or image."""
    (field, *others) = signature.inputs
    if others or field.meaning not in STEPS:
        found = ", ".join(f"{one.name} ({one.meaning})" for one in signature.inputs)
        raise BadData.at("network", f"takes one input of tokens, a series or an image; the dataset has {found}")
    return RecurrentNetwork(config, field, signature.outputs)


class RecurrentNetwork(nn.Module):
    """Scores of shape (B, K)."""

    def __init__(self, config: Config, field: InputField, outputs: int) -> None:
        super().__init__()
        self.config, self.meaning = config, field.meaning
        self.embedding: nn.Module = nn.Identity()
        if field.meaning == "tokens":
            self.embedding = nn.Embedding(len(field.columns[0].vocabulary or ()), config.embedding, padding_idx=0)
        self.recurrent = Recurrent(STEPS[field.meaning](config, field), config)
        self.dropout = nn.Dropout(config.head_dropout)
        self.head = nn.Linear(self.recurrent.outputs, outputs)

    def forward(self, sequence: Any) -> Tensor:
        x_BTI, lengths_B = self.steps(sequence)
        outputs_BTD, state_BF = self.recurrent(x_BTI, lengths_B)
        if self.config.scores == "mean":
            summary_BD = outputs_BTD.sum(dim=1) / lengths_B.clamp(min=1)[:, None]
        else:
            summary_BD = self.recurrent.last(state_BF)
        scores_BK: Tensor = self.head(self.dropout(summary_BD))
        return scores_BK

    def each_step(
        self, sequence: Any, lengths_B: Tensor | None = None, state_BF: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Scores after each step, (B, T, K), and the state after each row's last step, from which a row continues.

        `lengths_B` shortens the rows.
        """
        x_BTI, steps_B = self.steps(sequence)
        outputs_BTD, state_BF = self.recurrent(x_BTI, steps_B if lengths_B is None else lengths_B, state_BF)
        return self.head(self.dropout(outputs_BTD)), state_BF

    @property
    def is_causal(self) -> bool:
        """Whether the scores after a step depend on no later step."""
        return not self.config.both_ways

    def steps(self, sequence: Any) -> tuple[Tensor, Tensor]:
        """The inputs of each step, (B, T, I), and the number of steps of each row."""
        if isinstance(sequence, Ragged):
            return self.embedding(sequence.values), sequence.lengths_B
        if self.meaning == "image" and self.config.image == "pixels":
            sequence = sequence.flatten(start_dim=2).transpose(1, 2)
        elif self.meaning == "image":
            sequence = sequence.transpose(1, 2).flatten(start_dim=2)
        return sequence, torch.full((len(sequence),), sequence.shape[1], device=sequence.device)


def _of_image(config: Config, field: InputField) -> int:
    channels, _, width = field.shape
    return channels if config.image == "pixels" else channels * width


def _of_series(config: Config, field: InputField) -> int:
    if len(field.shape) != 2:
        raise BadData.at("network", f"reads a series of shape (steps, channels); {field.name} has {field.shape}")
    return field.shape[1]


STEPS = {"tokens": lambda config, field: config.embedding, "series": _of_series, "image": _of_image}
"""Inputs of a step, I, by the meaning of the input."""

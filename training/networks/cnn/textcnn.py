"""TextCNN: convolutions of several widths over the tokens of a sentence, with max or attention pooling over time.

Source: Kim 2014, arXiv 1408.5882, section 2, CNN-rand; attention pooling instead of the maximum: Lin et al. 2017,
arXiv 1703.03130, equations 5 and 6 with one row.
Embeddings are initialized uniformly in [-.25, .25], the variance of pretrained vectors (section 4.3): with torch's
default variance of 1, filters overfit words of single sentences (validation accuracy on mr .70, against .78).
Differs from it: no constraint on the norm of the last layer's weights.
Axes: B rows, T tokens, P positions of a filter, E embedding, C filters of a width, K scores.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional

from millstream.tracking.dataset.signature import Signature
from millstream.training.feed.batch import Ragged

WORD_RANGE = 0.25


class Config(BaseModel, frozen=True, extra="forbid"):
    embedding: int = Field(128, ge=1, description="token embedding dimension, E")
    widths: tuple[int, ...] = Field((3, 4, 5), min_length=1, description="kernel sizes in tokens")
    maps: int = Field(100, ge=1, description="filters of each width, C")
    pooling: Literal["max", "attention"] = Field("max", description="pooling of a filter's activations over positions")
    dropout: float = Field(0.5, ge=0, lt=1, description="dropout probability before the last layer")


TINY = Config(embedding=8, maps=8)


def build(config: Config, signature: Signature) -> nn.Module:
    tokens = len(signature.single("tokens").columns[0].vocabulary or ())
    return TextCNN(config, tokens, signature.outputs)


class TextCNN(nn.Module):
    """Scores of shape (B, K) for ragged tokens (B, T)."""

    def __init__(self, config: Config, tokens: int, outputs: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, config.embedding, padding_idx=0)
        nn.init.uniform_(self.embedding.weight[1:], -WORD_RANGE, WORD_RANGE)
        pooling = {"max": Strongest, "attention": Attended}[config.pooling]
        self.filters = nn.ModuleList(nn.Conv1d(config.embedding, config.maps, width) for width in config.widths)
        self.pooled = nn.ModuleList(pooling(config.maps) for _ in config.widths)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.maps * len(config.widths), outputs)
        self.widths = config.widths

    def forward(self, tokens: Ragged) -> Tensor:
        answers = self._answers(tokens.values, tokens.lengths_B)
        found = [pool(*seen) for pool, seen in zip(self.pooled, answers, strict=True)]
        scores_BK: Tensor = self.head(self.dropout(torch.cat(found, dim=1)))
        return scores_BK

    def attended(self, tokens: Ragged) -> Tensor:
        """Attention weight of each token, (B, T): the pooling weight of each position, divided among the tokens that
        the filter reads there. They sum to 1, and are 0 in the padding."""
        tokens_BT, lengths_B = tokens.values, tokens.lengths_B
        token_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
        found_BT = torch.zeros(tokens_BT.shape, device=tokens_BT.device)
        pools: Any = self.pooled
        answers = self._answers(tokens_BT, lengths_B)
        for width, pool, (answers_BCP, is_inside_BP) in zip(self.widths, pools, answers, strict=True):
            place_P1 = torch.arange(answers_BCP.shape[2], device=tokens_BT.device)[:, None]
            reads_PT = (token_T >= place_P1) & (token_T < place_P1 + width)
            # fewer than the width when the sentence is shorter
            tokens_BP = (lengths_B[:, None] - place_P1[:, 0]).clamp(1, width)
            found_BT += pool.weights(answers_BCP, is_inside_BP) / tokens_BP @ reads_PT.to(found_BT)
        found_BT *= token_T < lengths_B[:, None]
        return found_BT / len(self.widths)

    def _answers(self, tokens_BT: Tensor, lengths_B: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Per width, non-negative activations (B, C, P) and the mask of positions inside the sentence, (B, P)."""
        # a sentence shorter than a filter is padded at the end
        x_BET = self.embedding(functional.pad(tokens_BT, (0, max(self.widths) - 1))).transpose(1, 2)
        found = []
        for width, convolve in zip(self.widths, self.filters, strict=True):
            answers_BCP = functional.relu(convolve(x_BET))
            # valid positions lie entirely inside the sentence; a sentence shorter than the filter has one
            places_B1 = (lengths_B - width + 1).clamp(min=1)[:, None]
            found.append((answers_BCP, torch.arange(answers_BCP.shape[2], device=answers_BCP.device) < places_B1))
        return found


class Strongest(nn.Module):
    """Max pooling: the largest activation of each filter, (B, C)."""

    def __init__(self, maps: int) -> None:
        super().__init__()

    def forward(self, answers_BCP: Tensor, is_inside_BP: Tensor) -> Tensor:
        # activations are non-negative
        return (answers_BCP * is_inside_BP[:, None]).amax(dim=2)

    def weights(self, answers_BCP: Tensor, is_inside_BP: Tensor) -> Tensor:
        """Fraction of filters whose maximum is at each position, (B, P)."""
        # below every activation, so that a filter that is 0 everywhere counts at the first position, which is inside
        strongest_BC = answers_BCP.masked_fill(~is_inside_BP[:, None], -1).argmax(dim=2)
        return functional.one_hot(strongest_BC, is_inside_BP.shape[1]).float().mean(dim=1)


class Attended(nn.Module):
    """Attention pooling: mean of the activations over positions, with learned weights, (B, C)."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.regard = nn.Sequential(nn.Linear(maps, maps), nn.Tanh(), nn.Linear(maps, 1, bias=False))

    def forward(self, answers_BCP: Tensor, is_inside_BP: Tensor) -> Tensor:
        return (answers_BCP * self.weights(answers_BCP, is_inside_BP)[:, None]).sum(dim=2)

    def weights(self, answers_BCP: Tensor, is_inside_BP: Tensor) -> Tensor:
        """Attention weight of each position, (B, P); they sum to 1, and are 0 in the padding."""
        regard_BP = self.regard(answers_BCP.transpose(1, 2))[:, :, 0]
        return torch.softmax(regard_BP.masked_fill(~is_inside_BP, -torch.inf), dim=1)

"""Gated recurrent units that read a sequence of tokens and score it as a whole.

Source: Cho et al. 2014, arXiv 1406.1078; the state after the last token is what is scored (both ends, when it reads
both ways: Schuster & Paliwal 1997).
Axes: B rows, T tokens, E embedding, D hidden units, K scores.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from millstream.tracking.dataset.signature import Signature
from millstream.training.feed.batch import Ragged


class Config(BaseModel, frozen=True, extra="forbid"):
    embedding: int = Field(64, ge=1, description="numbers that stand for a token, E")
    hidden: int = Field(128, ge=1, description="units of the state, D")
    layers: int = Field(1, ge=1, description="layers on top of each other")
    both_ways: bool = Field(False, description="read from the end as well")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="share left out after the embedding, between layers, before the head"
    )


def build(config: Config, signature: Signature) -> nn.Module:
    tokens = len(signature.single("tokens").columns[0].vocabulary or ())
    return GRU(config, tokens, signature.outputs)


class GRU(nn.Module):
    """Scores of shape (B, K) for ragged tokens (B, T)."""

    def __init__(self, config: Config, tokens: int, outputs: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, config.embedding, padding_idx=0)
        self.dropout = nn.Dropout(config.dropout)
        between = config.dropout if config.layers > 1 else 0.0
        self.read = nn.GRU(
            config.embedding,
            config.hidden,
            config.layers,
            batch_first=True,
            bidirectional=config.both_ways,
            dropout=between,
        )
        self.ways = 2 if config.both_ways else 1
        self.head = nn.Linear(config.hidden * self.ways, outputs)

    def forward(self, tokens: Ragged) -> Tensor:
        x_BTE = self.dropout(self.embedding(tokens.values))
        # a masked row has no tokens; it is read as one of padding, and its score is not looked at
        lengths = tokens.lengths_B.clamp(min=1).cpu()
        _, state = self.read(pack_padded_sequence(x_BTE, lengths, batch_first=True, enforce_sorted=False))
        last_BD = torch.cat(list(state[-self.ways :]), dim=1)
        scores_BK: Tensor = self.head(self.dropout(last_BD))
        return scores_BK

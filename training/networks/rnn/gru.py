"""GRU over a sequence of tokens; scores from the final hidden state.

Source: Cho et al. 2014, arXiv 1406.1078; bidirectional, by the final states of both directions: Schuster & Paliwal
1997.
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
    embedding: int = Field(64, ge=1, description="token embedding dimension, E")
    hidden: int = Field(128, ge=1, description="hidden units, D")
    layers: int = Field(1, ge=1, description="stacked layers")
    both_ways: bool = Field(False, description="bidirectional")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="dropout probability after the embedding, between layers and before the head"
    )


TINY = Config(embedding=8, hidden=8)


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
        # a masked row has no tokens; it is read as one padding token, and its score is ignored
        lengths = tokens.lengths_B.clamp(min=1).cpu()
        _, state = self.read(pack_padded_sequence(x_BTE, lengths, batch_first=True, enforce_sorted=False))
        last_BD = torch.cat(list(state[-self.ways :]), dim=1)
        scores_BK: Tensor = self.head(self.dropout(last_BD))
        return scores_BK

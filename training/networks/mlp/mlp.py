"""Multilayer perceptron over all inputs of a row: numbers, categories, or flattened images.

Source: Rosenblatt 1962; embeddings of categories: Guo & Berkhahn 2016, arXiv 1604.06737.
Axes: B rows, D concatenated features, C categorical columns, K outputs.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional

from millstream.tracking.dataset.signature import InputField, Signature
from millstream.tracking.errors import BadData
from millstream.training.layers.norm import Norm, norm

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"]

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class Config(BaseModel, frozen=True, extra="forbid"):
    hidden: tuple[int, ...] = Field((128, 128), description="units of each hidden layer")
    activation: Activation = Field("relu", description="activation function of the hidden layers")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout probability after each hidden layer")
    norm: Norm = Field("none", description="normalization before each activation: batch, layer or group")
    embedding: int | None = Field(None, ge=1, description="embedding dimension of a category; default: one-hot")


TINY = Config(hidden=(16,), dropout=0.1)


def build(config: Config, signature: Signature) -> nn.Module:
    """Raises BadData for tokens, whose number varies between rows."""
    wrong = [field.name for field in signature.inputs if field.meaning == "tokens"]
    if wrong:
        raise BadData.at("network mlp/mlp", f"cannot read the sequences {wrong}; take a recurrent network")
    return MLP(config, signature.inputs, signature.outputs)


class MLP(nn.Module):
    """Outputs of shape (B, K) for the inputs of the signature, in their order."""

    def __init__(self, config: Config, fields: tuple[InputField, ...], outputs: int) -> None:
        super().__init__()
        self.readers = nn.ModuleList(_reader(field, config.embedding) for field in fields)
        width = sum(_width(field, config.embedding) for field in fields)
        layers: list[nn.Module] = []
        for before, after in pairwise((width, *config.hidden)):
            normed = norm(config.norm, after, maps=False)
            drop = [nn.Dropout(config.dropout)] if config.dropout else []
            layers += [nn.Linear(before, after), *normed, ACTIVATIONS[config.activation](), *drop]
        self.layers = nn.Sequential(*layers, nn.Linear((width, *config.hidden)[-1], outputs))

    def forward(self, *inputs: Tensor) -> Tensor:
        x_BD = torch.cat([read(values) for read, values in zip(self.readers, inputs, strict=True)], dim=1)
        y_BK: Tensor = self.layers(x_BD)
        return y_BK


class Categories(nn.Module):
    """Concatenated embeddings (B, C * E) of the categories (B, C); one-hot without E."""

    def __init__(self, sizes: tuple[int, ...], embedding: int | None) -> None:
        super().__init__()
        self.sizes = sizes
        self.tables = nn.ModuleList(nn.Embedding(size, embedding) for size in sizes) if embedding else None

    def forward(self, values_BC: Tensor) -> Tensor:
        if self.tables is None:
            hot = [functional.one_hot(values_BC[:, at], size) for at, size in enumerate(self.sizes)]
            return torch.cat(hot, dim=1).float()
        return torch.cat([table(values_BC[:, at]) for at, table in enumerate(self.tables)], dim=1)


def _reader(field: InputField, embedding: int | None) -> nn.Module:
    return Categories(field.sizes, embedding) if field.meaning == "category" else nn.Flatten()


def _width(field: InputField, embedding: int | None) -> int:
    if field.meaning == "category":
        return len(field.sizes) * embedding if embedding else sum(field.sizes)
    return math.prod(field.shape)

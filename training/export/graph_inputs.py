"""Inputs of an ONNX graph, for each field of a model's signature."""

from __future__ import annotations

from millstream.tracking.dataset.signature import InputField

BATCH, TOKENS = "batch", "tokens"
"""Names of the free axes."""


def dtype_of(field: InputField) -> str:
    """Type of the graph's input: that of the stored bytes of a tensor, whose scale is part of the graph."""
    first = field.columns[0]
    return first.dtype if first.layout == "tensor" and first.affine is not None else field.dtype


def is_ragged(field: InputField) -> bool:
    return field.columns[0].layout == "list"


def names_of(field: InputField) -> tuple[str, ...]:
    """Names of the graph's inputs for a field; a ragged one has its lengths, too."""
    return (field.name, f"{field.name}_lengths") if is_ragged(field) else (field.name,)

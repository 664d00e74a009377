"""Figure of a batch as the model receives it."""

from __future__ import annotations

from matplotlib.figure import Figure
from torch import Tensor

from millstream.tracking.dataset.signature import InputField, Signature
from millstream.training.feed.batch import Batch, Ragged

SHOWN = 32


def batch_figure(batch: Batch, signature: Signature) -> Figure:
    """Figure of the first rows: images as a grid with their classes, tables as a heat map, tokens as lines of text."""
    count = max(1, len(signature.inputs))
    figure = Figure(figsize=(10, 5.5 * count), layout="constrained")
    panels = figure.subfigures(count, 1, squeeze=False)[:, 0]
    for panel, field in zip(panels, signature.inputs, strict=True):
        value = batch.inputs[field.name]
        tensor = value.values if isinstance(value, Ragged) else value
        panel.suptitle(f"{field.name}: {tuple(tensor.shape)}, {tensor.dtype}")
        if field.meaning == "image":
            _images(panel, tensor, _labels(batch, signature))
        elif field.meaning == "tokens" and isinstance(value, Ragged):
            _texts(panel, value, field)
        else:
            _table(panel, tensor, field)
    return figure


def _images(panel: Figure, images_BCHW: Tensor, labels: list[str]) -> None:
    axes = panel.subplots(4, SHOWN // 4, squeeze=False).ravel()
    low, high = images_BCHW.min(), images_BCHW.max()
    # colours are drawn in [0, 1], whatever the scale of the model's input
    images_BCHW = (images_BCHW - low) / (high - low).clamp(min=1e-12)
    for at, one in enumerate(axes):
        one.axis("off")
        if at < len(images_BCHW):
            one.imshow(images_BCHW[at].permute(1, 2, 0).squeeze(-1), cmap="gray")
            one.set_title(labels[at] if labels else "", fontsize=8, parse_math=False)


def _table(panel: Figure, values_BD: Tensor, field: InputField) -> None:
    axes = panel.subplots()
    rows = values_BD[:SHOWN].reshape(min(SHOWN, len(values_BD)), -1).float()
    drawn = axes.imshow(rows, aspect="auto", cmap="viridis")
    if rows.shape[1] == len(field.columns):
        axes.set_xticks(range(len(field.columns)), [column.name for column in field.columns], rotation=60, ha="right")
        for label in axes.get_xticklabels():
            label.set_parse_math(False)
    axes.set_ylabel("row of the batch")
    panel.colorbar(drawn)


def _texts(panel: Figure, tokens: Ragged, field: InputField) -> None:
    axes = panel.subplots()
    axes.axis("off")
    vocabulary = field.columns[0].vocabulary or ()
    shown = tokens[:SHOWN]
    for at, (row, length) in enumerate(zip(shown.values.tolist(), shown.lengths_B.tolist(), strict=True)):
        text = " ".join(vocabulary[token] if token < len(vocabulary) else str(token) for token in row[:length])
        axes.text(0.0, 1 - at / SHOWN, text, family="monospace", fontsize=8, va="top", parse_math=False)


def _labels(batch: Batch, signature: Signature) -> list[str]:
    target = next(iter(batch.targets.values()), None)
    if target is None or isinstance(target, Ragged) or target.ndim != 1 or not signature.classes:
        return []
    return [signature.classes[int(at)] for at in target]

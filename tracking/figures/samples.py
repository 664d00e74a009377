"""Grid of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray


def samples(
    images_NCHW: NDArray[Any], columns: int = 10, titles: Sequence[str] = (), title: str = "", size: float = 0.75
) -> Figure:
    """Images with values in [0, 1] in rows of `columns`, with optional titles; `size` of each in inches."""
    rows = max(1, -(-len(images_NCHW) // columns))
    lines = max((text.count("\n") + 1 for text in titles), default=0)
    height = size + 0.15 * lines
    figure = Figure(figsize=(size * columns, height * rows + (0.4 if title else 0)), layout="constrained")
    figure.suptitle(title, parse_math=False)
    for at, axes in enumerate(figure.subplots(rows, columns, squeeze=False).ravel()):
        axes.axis("off")
        if at < len(images_NCHW):
            image = images_NCHW[at].transpose(1, 2, 0)
            axes.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=1)
            if titles:
                axes.set_title(titles[at], fontsize=7, parse_math=False)
    return figure

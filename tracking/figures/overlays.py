"""Segmentation masks over their images: true and predicted."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from millstream.tracking.figures.style import COLOURS

TRUE, PREDICTED = COLOURS[2], COLOURS[3]
HALF = 0.5


def overlays(
    images_NCHW: NDArray[Any], true_NHW: NDArray[Any], predicted_NHW: NDArray[Any], columns: int = 4
) -> Figure:
    """Images with values in [0, 1], with contours of the true mask and the predicted one (probabilities in [0, 1])."""
    rows = max(1, -(-len(images_NCHW) // columns))
    figure = Figure(figsize=(2.4 * columns, 2.4 * rows + 0.5), layout="constrained")
    for at, axes in enumerate(figure.subplots(rows, columns, squeeze=False).ravel()):
        axes.axis("off")
        if at == len(images_NCHW):
            break
        image = images_NCHW[at].transpose(1, 2, 0)
        axes.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=1)
        for mask_HW, colour in ((true_NHW[at], TRUE), (predicted_NHW[at], PREDICTED)):
            if mask_HW.min() < HALF < mask_HW.max():
                axes.contour(mask_HW, [HALF], colors=[colour], linewidths=1.2)
    lines = [Line2D([], [], color=colour) for colour in (TRUE, PREDICTED)]
    figure.legend(lines, ["true", "predicted"], loc="outside upper center", ncols=2, frameon=False)
    return figure

"""2-D t-SNE embedding of rows, for a figure, by scikit-learn.

Source: van der Maaten & Hinton 2008, Visualizing data using t-SNE, JMLR 9. It embeds the given rows alone; the network
classical/tsne also embeds new rows. Axes: N rows, D features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

NEIGHBOURS = 30
"""The perplexity: effective number of neighbours of a row."""


def neighbour_map(x_ND: NDArray[Any], seed: int) -> NDArray[np.float32]:
    """Coordinates of each row, (N, 2); all 0 with fewer than three rows."""
    rows = len(x_ND)
    if rows < 3:
        return np.zeros((rows, 2), np.float32)
    # the perplexity must be below the number of rows, and means little near it
    fewer = min(NEIGHBOURS, max(1, (rows - 1) // 3))
    placed: NDArray[np.float32] = TSNE(init="random", perplexity=fewer, random_state=seed).fit_transform(x_ND)
    return placed

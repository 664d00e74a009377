"""A map on which rows lie near those that they are near to, by scikit-learn's t-SNE.

Source: van der Maaten & Hinton 2008, Visualizing data using t-SNE, JMLR 9. It places the rows that it is given, so it
is a picture alone; the network classical/tsne is for new rows, too. Axes: N rows, D numbers of a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

NEIGHBOURS = 30
"""The perplexity: about how many rows are near to one."""


def neighbour_map(x_ND: NDArray[Any], seed: int) -> NDArray[np.float32]:
    """A place for each row, (N, 2); with fewer than three rows nothing is to be laid out, and all lie at 0."""
    rows = len(x_ND)
    if rows < 3:
        return np.zeros((rows, 2), np.float32)
    # a perplexity has to lie below the number of rows, and means little near it
    fewer = min(NEIGHBOURS, max(1, (rows - 1) // 3))
    placed: NDArray[np.float32] = TSNE(init="random", perplexity=fewer, random_state=seed).fit_transform(x_ND)
    return placed

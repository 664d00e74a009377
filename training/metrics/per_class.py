"""Precision, recall and F1 of each class, from a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.tracking.runs.table import Table


def per_class(counts_KK: NDArray[Any], classes: Sequence[str]) -> Table:
    """Classes in the order of rising F1; `counts_KK` has true classes as rows, predicted ones as columns.

    Precision and recall are 0 without a predicted or true row, as in scikit-learn with `zero_division=0`.
    """
    right_K = counts_KK.diagonal()
    rows_K, predicted_K = counts_KK.sum(axis=1), counts_KK.sum(axis=0)
    precision_K, recall_K = right_K / np.maximum(1, predicted_K), right_K / np.maximum(1, rows_K)
    f1_K = 2 * right_K / np.maximum(1, rows_K + predicted_K)
    wrong_KK = counts_KK - np.diag(right_K)
    rows = []
    for at in np.argsort(f1_K, kind="stable").tolist():
        mistaken = int(wrong_KK[at].argmax())
        most = int(wrong_KK[at, mistaken])
        rows.append(
            [
                classes[at],
                int(rows_K[at]),
                *(round(float(one[at]), 4) for one in (precision_K, recall_K, f1_K)),
                f"{classes[mistaken]} ({most})" if most else "",
            ]
        )
    return Table(("class", "rows", "precision", "recall", "f1", "most often mistaken for"), rows)

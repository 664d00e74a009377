"""The choices that drafts of tables, images and texts share: names, the split, the size of a smoke run."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

VALID, TEST = 0.1, 0.2
LONGEST_NAME = 100
LEAST_ROWS = 20
SMOKE_ROWS = 2000
LEAST_OF_CLASS = 10
"""Rows of the rarest class from which each split gets its exact share of the class."""
SEEN_OF_CLASS = 30
"""Rows of the rarest class that a smoke run should read."""


def data_name(stem: str) -> str:
    """The name of the dataset in the store."""
    return re.sub(r"[^a-z0-9_-]+", "-", stem.lower()).strip("-_")[:LONGEST_NAME] or "data"


def recipe_name(stem: str) -> str:
    """The file of the recipe, whose name becomes that of the experiment and the model."""
    return f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', stem).strip('-._')[:LONGEST_NAME] or 'recipe'}.yaml"


def smoke_rows(rows: int, classes: Mapping[str, int], usual: int = SMOKE_ROWS) -> int | None:
    """The rows of a smoke run, more where a class is rare; None for all."""
    rarest = min(classes.values(), default=0) / max(1, sum(classes.values()))
    wanted = max(usual, 100 * math.ceil(SEEN_OF_CLASS / rarest / 100)) if rarest else usual
    return None if wanted >= rows else wanted


def can_stratify(rows: int, classes: Mapping[str, int], smoke: int | None) -> bool:
    """Whether each class has rows for each split, in a smoke run, too. `classes` are the rows of each in a sample."""
    share = min(smoke or rows, rows) / max(1, sum(classes.values()))
    return bool(classes) and min(classes.values()) * share >= LEAST_OF_CLASS


def imbalance(target: str, classes: Mapping[str, int]) -> str:
    """A doubt about one class in nearly all rows; empty if there is none."""
    total, (name, most) = sum(classes.values()), max(classes.items(), key=lambda one: one[1])
    if most < 0.9 * total:
        return ""
    return (
        f"{target} is {name!r} in {most / total:.1%} of the rows, so an accuracy of {most / total:.3f} means nothing: "
        "look at ap and macro_f1, or add `- rebalance: {method: weights}` as the last step"
    )

"""A column transform: replays a preparation step on the rows given to a served model.

`tracking/transforms/<step>.py` has those of the step of its name, in KINDS: keyed by the method that the step learned,
or "" if there is only one. A step that declares `served: replayed` needs such a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millstream.tracking.dataset.records import Column

if TYPE_CHECKING:
    import pandas as pd

Learned = Mapping[str, Any]


def never(learned: Learned) -> bool:
    return False


def always(learned: Learned) -> bool:
    return True


@dataclass(frozen=True)
class Kind:
    """Forward and inverse transform of rows, and the column before the transform.

    `before` returns the columns that a column came from: none for one computed from columns that are kept.
    `is_exact` is whether the inverse restores the rows that were transformed (numbers up to rounding).
    """

    forward: Callable[[pd.DataFrame, str, Learned], pd.DataFrame]
    backward: Callable[[pd.DataFrame, str, Learned], pd.DataFrame]
    before: Callable[[Column, str, Learned], tuple[Column, ...]]
    is_exact: Callable[[Learned], bool] = never


def put(frame: pd.DataFrame, name: str, values: Any) -> pd.DataFrame:
    return frame.assign(**{name: values})

"""One way to change a column: what a preparation did, done again to the rows that a served model is given.

`tracking/transforms/<step>.py` has those of the step of its name, in KINDS: by the method that the step learned, or ""
where it has one alone. A step that declares `served: replayed` needs such a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millstream.tracking.dataset.records import Column

if TYPE_CHECKING:
    import pandas as pd

Learned = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """The change of rows (forward), the way back (backward), and what the column was before it.

    `before` gives the columns that one came from: none for one that the change made of others that it has still.
    """

    forward: Callable[[pd.DataFrame, str, Learned], pd.DataFrame]
    backward: Callable[[pd.DataFrame, str, Learned], pd.DataFrame]
    before: Callable[[Column, str, Learned], tuple[Column, ...]]


def put(frame: pd.DataFrame, name: str, values: Any) -> pd.DataFrame:
    return frame.assign(**{name: values})

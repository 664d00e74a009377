"""Interface of augmentation on the fly: one layer per step, applied to the stored samples of a window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from millstream.training.feed.plan.batch_order import Rows
from millstream.training.feed.read.windows import Stored


class Slots(NamedTuple):
    """Metadata of the slots of a window, numbered batch by batch. Axis: S slots."""

    ids_S: NDArray[Any]
    """Sample ids, None where there is no sample."""
    lanes_S: Rows
    """Lane of each slot."""
    texts: Mapping[str, NDArray[Any]]
    """Texts of each slot, by column."""
    seed: int
    epoch: int


class Layer(Protocol):
    """One augmentation step, applied to the output of the preceding layers."""

    @property
    def text(self) -> str | None:
        """The text column that it reads, if any."""
        ...

    def over(self, stored: Stored, slots: Slots) -> Stored: ...

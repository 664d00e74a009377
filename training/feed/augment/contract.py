"""What is laid over the stored samples of a window to change them on the fly: one layer a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from millstream.training.feed.plan.batch_order import Rows
from millstream.training.feed.read.windows import Stored


class Slots(NamedTuple):
    """What is known of the slots of a window, counted batch after batch. Axis: S slots."""

    ids_S: NDArray[Any]
    """The sample id of each, None where there is no sample."""
    lanes_S: Rows
    """The lane of each."""
    texts: Mapping[str, NDArray[Any]]
    """The texts of each, by the column that they are read from."""
    seed: int
    epoch: int


class Layer(Protocol):
    """One step, laid over what the ones before it give."""

    @property
    def text(self) -> str | None:
        """A column of texts that it reads."""
        ...

    def over(self, stored: Stored, slots: Slots) -> Stored: ...

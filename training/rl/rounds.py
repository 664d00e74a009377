"""Round indices in place of batches: an agent generates its own data, but the trainer needs a data loader."""

from __future__ import annotations

from collections.abc import Iterator


class Rounds:
    """Iterates 0, 1, ... `count` - 1 per epoch; its state records the position, for resuming."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.done = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        if self.done >= self.count:
            self.done = 0
        while self.done < self.count:
            self.done += 1
            yield self.done - 1

    def state_dict(self) -> dict[str, int]:
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.done = state["done"]

"""Replay buffer of the most recent transitions.

Source: Lin 1992, doi:10.1007/BF00992699; Mnih et al. 2015, doi:10.1038/nature14236.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from millstream.tracking.seeds import key
from millstream.training.rl.rollout import Transitions


class Replay:
    """Ring buffer of `capacity` transitions; samples are uniform with replacement, seeded by (seed, number)."""

    def __init__(self, capacity: int, seed: int) -> None:
        self.capacity, self.seed = capacity, seed
        self.written = 0
        self.kept: Transitions | None = None
        """Columns of shape (capacity, ...); None before the first transition, which sets the shapes."""

    def __len__(self) -> int:
        return min(self.written, self.capacity)

    def extend(self, transitions: Transitions) -> None:
        """Store transitions (B, ...); overwrites the oldest when the buffer is full."""
        kept, count = self._room_for(transitions), len(transitions.reward)
        at = torch.arange(self.written, self.written + count)[-self.capacity :] % self.capacity
        for column, new in zip(kept, transitions, strict=True):
            column[at] = new[-self.capacity :].to(column.dtype)
        self.written += count

    def draw(self, count: int, number: int) -> Transitions:
        """`count` transitions for the gradient step `number`. Raises ValueError when the buffer is empty."""
        if self.kept is None:
            raise ValueError("no transition is kept yet; act before a draw")
        generator = np.random.Generator(np.random.PCG64(key(self.seed, "replay", number)))
        at = torch.from_numpy(generator.integers(0, len(self), count))
        return Transitions(*(column.index_select(0, at) for column in self.kept))

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values of the written part."""
        columns = {} if self.kept is None else self.kept._asdict()
        return {
            "written": self.written,
            "kept": {name: column[: len(self)].clone() for name, column in columns.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        written, columns = state["written"], state["kept"]
        self.written, self.kept = 0, None
        if columns:
            self.extend(Transitions(**columns))
        self.written = written

    def _room_for(self, transitions: Transitions) -> Transitions:
        if self.kept is None:
            empty = (torch.zeros((self.capacity, *one.shape[1:]), dtype=one.dtype) for one in transitions)
            self.kept = Transitions(*empty)
        return self.kept

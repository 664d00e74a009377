"""Replay memory: the last transitions, drawn from at random.

Source: Lin 1992, doi:10.1007/BF00992699; Mnih et al. 2015, doi:10.1038/nature14236.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from millstream.tracking.seeds import key


class Transitions(NamedTuple):
    """B steps of an environment; D numbers are observed."""

    seen_BD: Tensor
    action_B: Tensor
    reward_B: Tensor
    next_BD: Tensor
    ended_B: Tensor
    """bool: whether the episode ended by itself there, so that nothing follows; not when only its time was up"""


class Replay:
    """A ring of `capacity` transitions; draws are uniform, with replacement, and follow from (seed, number)."""

    def __init__(self, capacity: int, width: int, seed: int) -> None:
        self.capacity, self.seed = capacity, seed
        self.written = 0
        self.seen = np.zeros((capacity, width), np.float32)
        self.next = np.zeros((capacity, width), np.float32)
        self.action = np.zeros(capacity, np.int64)
        self.reward = np.zeros(capacity, np.float32)
        self.ended = np.zeros(capacity, np.bool_)

    def __len__(self) -> int:
        return min(self.written, self.capacity)

    def add(self, seen: NDArray[Any], action: int, reward: float, after: NDArray[Any], ended: bool) -> None:
        """Keep a transition, in the place of the oldest when the memory is full."""
        at = self.written % self.capacity
        self.seen[at], self.next[at] = seen, after
        self.action[at], self.reward[at], self.ended[at] = action, reward, ended
        self.written += 1

    def draw(self, count: int, number: int) -> Transitions:
        """`count` transitions for the gradient step `number`."""
        generator = np.random.Generator(np.random.PCG64(key(self.seed, "replay", number)))
        at = generator.integers(0, len(self), count)
        columns = (self.seen, self.action, self.reward, self.next, self.ended)
        return Transitions(*(torch.from_numpy(column[at]) for column in columns))

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values; only what was written."""
        used = len(self)
        names = ("seen", "action", "reward", "next", "ended")
        return {
            "written": self.written,
            **{name: torch.from_numpy(getattr(self, name)[:used].copy()) for name in names},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.written = state["written"]
        for name in ("seen", "action", "reward", "next", "ended"):
            getattr(self, name)[: len(self)] = state[name].numpy()

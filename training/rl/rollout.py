"""Transitions, and rollouts of N environments over T steps.

Axes: T steps, N environments, B transitions in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from millstream.training.rl.episodes import Episodes

Act = Callable[[NDArray[Any]], NDArray[Any]]
"""Maps the observations of N environments to actions."""


class Transitions(NamedTuple):
    """Environment steps, with leading axes (T, N) in a rollout and (B,) in a minibatch.

    Observations and actions have the shape and dtype of the environment's spaces.
    """

    observation: Tensor
    action: Tensor
    reward: Tensor
    """float32"""
    next: Tensor
    """Observation after the action, before any reset."""
    terminated: Tensor
    """bool: a terminal state, so the value of `next` is 0."""
    truncated: Tensor
    """bool: the episode was truncated at `next`, which has a value; never true where `terminated` is."""

    @property
    def ended(self) -> Tensor:
        """Whether the next step of a rollout belongs to another episode."""
        return self.terminated | self.truncated

    def flat(self) -> Transitions:
        """A rollout as (T * N) transitions."""
        return Transitions(*(one.flatten(0, 1) for one in self))

    def to(self, device: torch.device) -> Transitions:
        return Transitions(*(one.to(device) for one in self))


def collect(episodes: Episodes, act: Act, steps: int) -> tuple[Transitions, list[tuple[int, float]]]:
    """A rollout of `steps` steps (T), and (step, return) of each finished episode, steps counted from 1."""
    rows: list[tuple[NDArray[Any], ...]] = []
    returns: list[tuple[int, float]] = []
    for at in range(1, steps + 1):
        observation_N, action_N = episodes.observation_N, act(episodes.observation_N)
        step, ended = episodes.step(action_N)
        rows.append((observation_N, action_N, step.reward_N, step.next_N, step.terminated_N, step.truncated_N))
        returns += [(at, total) for total in ended]
    observation, action, reward, after, terminated, truncated = map(np.stack, zip(*rows, strict=True))
    columns = (observation, action, reward.astype(np.float32), after, terminated, truncated)
    return Transitions(*map(torch.from_numpy, columns)), returns

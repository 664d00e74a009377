"""Vector of N environments with their episodes in progress.

Resuming: an environment that exposes its state continues its episode, bitwise equal. One that hides it starts a new
episode, seeded by (seed, step, index of the environment): the run is reproducible from its checkpoint, but differs from
the uninterrupted run. The interrupted episode is not reported, and no transition joins the two.
Axes: N environments.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from millstream.tracking.errors import WrongRecipe
from millstream.tracking.seeds import key
from millstream.training.environments._protocol import Environment

SEEDS = 1 << 32
"""Exclusive upper bound of Gymnasium's seeds."""


class Step(NamedTuple):
    """Result of one step of each environment."""

    reward_N: NDArray[Any]
    next_N: NDArray[Any]
    """Observation after the action: the true final observation where an episode ended."""
    terminated_N: NDArray[np.bool_]
    """The episode reached a terminal state."""
    truncated_N: NDArray[np.bool_]
    """The episode was cut off before a terminal state; false where it also terminated."""


class Episodes:
    """Steps a vector of environments in SAME_STEP mode, and tracks the last observations and the returns so far."""

    def __init__(self, environment: Environment, config: Any, count: int, seed: int) -> None:
        """Raises WrongRecipe for a vector with another autoreset mode."""
        self.environment, self.count, self.seed = environment, count, seed
        self.vector = environment.make_vector(config, count)
        mode = self.vector.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise WrongRecipe.at("environment", f"its vector resets by {mode}; {AutoresetMode.SAME_STEP} is needed")
        # environment 0 has the seed of a single environment
        seeds = [key(seed, "episodes", *([at] if at else [])) % SEEDS for at in range(count)]
        self.observation_N: NDArray[Any] = self.vector.reset(seed=seeds)[0]
        self.return_N = np.zeros(count)
        """Returns of the episodes in progress."""

    def step(self, action_N: NDArray[Any]) -> tuple[Step, list[float]]:
        """Step each environment; returns the step and the returns of the episodes that ended with it."""
        action_N = allowed(self.vector.single_action_space, action_N)
        observation_N, reward_N, terminated_N, truncated_N, info = self.vector.step(action_N)
        ended_N, next_N = terminated_N | truncated_N, observation_N
        self.return_N += reward_N
        returns: list[float] = []
        if ended_N.any():
            next_N = observation_N.copy()
            for at in np.flatnonzero(ended_N):
                next_N[at] = info["final_obs"][at]
            returns = self.return_N[ended_N].tolist()
            self.return_N[ended_N] = 0.0
        self.observation_N = observation_N
        return Step(reward_N, next_N, terminated_N, truncated_N & ~terminated_N), returns

    def close(self) -> None:
        self.vector.close()

    def state_dict(self) -> dict[str, Any]:
        return {
            "states": [self.environment.state(env) for env in self._envs] or [None] * self.count,
            "observation": torch.from_numpy(self.observation_N.copy()),
            "return": self.return_N.tolist(),
        }

    def load_state_dict(self, state: dict[str, Any], step: int) -> None:
        """Resume after `step` steps of the run, as the module docstring describes."""
        self.observation_N = self.vector.reset(
            seed=[key(self.seed, "resumed", step, at) % SEEDS for at in range(self.count)]
        )[0]
        self.return_N = np.zeros(self.count)
        for at, shown in enumerate(state["states"]):
            if shown is not None:
                self.environment.restore(self._envs[at], shown)
                self.observation_N[at] = state["observation"][at].numpy()
                self.return_N[at] = state["return"][at]

    @property
    def _envs(self) -> list[Any]:
        """The single environments, if they live in this process; otherwise empty."""
        return getattr(self.vector, "envs", [])


def allowed(space: Any, action: NDArray[Any]) -> NDArray[Any]:
    """The action clipped to the bounds of a Box; learning uses the unclipped action."""
    return np.clip(action, space.low, space.high) if isinstance(space, Box) else action

"""Games and numerical systems of Gymnasium, and what of them a network sees.

Source: Towers et al. 2024, arXiv 2407.17032.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import gymnasium
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, field_validator

from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.tracking.recipe import plugins
from millstream.training.environments._drawings import CARTPOLE

Env: TypeAlias = Any
"""A `gymnasium.Env`."""
KNOWN = {
    "CartPole-v1": (("cart_position", "cart_velocity", "pole_angle", "pole_speed"), ("left", "right")),
    "Acrobot-v1": (
        ("cos_1", "sin_1", "cos_2", "sin_2", "speed_1", "speed_2"),
        ("torque -1", "torque 0", "torque +1"),
    ),
}
"""What the numbers of an observation and the actions are called."""


class Config(BaseModel, frozen=True, extra="forbid"):
    id: str = Field(description="name of the environment, with its version: CartPole-v1")

    @field_validator("id")
    @classmethod
    def _registered(cls, name: str) -> str:
        known = list(gymnasium.registry)
        # a name with a colon would import the module before it
        if name not in known:
            raise ValueError(f"{name!r}: no such environment; {plugins.suggest(name, known)}")
        return name


def make(config: Config) -> Env:
    return gymnasium.make(config.id)


def signature(config: Config) -> Signature:
    """One input of the observation's numbers; the target is the action. Raises BadData for other spaces than a
    vector to see and a choice to make."""
    env = make(config)
    seen, choices = env.observation_space, env.action_space
    env.close()
    if not (
        isinstance(seen, gymnasium.spaces.Box)
        and len(seen.shape) == 1
        and isinstance(choices, gymnasium.spaces.Discrete)
    ):
        raise BadData.at(
            f"environment {config.id}", f"sees {seen} and acts in {choices}; a vector and a choice are read"
        )
    width, count = seen.shape[0], int(choices.n)
    names, actions = KNOWN.get(
        config.id, (tuple(f"observation_{at}" for at in range(width)), tuple(map(str, range(count))))
    )
    numbers = [Column(name=name, dtype="float32", role="input", meaning="number") for name in names]
    action = Column(name="action", dtype="int64", role="target", meaning="category", classes=actions)
    return Signature.of([*numbers, action], ["action"])


def threshold(config: Config) -> float | None:
    """The mean return from which on the environment counts as solved, if its makers say so."""
    found = gymnasium.spec(config.id).reward_threshold
    return None if found is None else float(found)


def draw(config: Config, observation: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """A picture (H, W, 3) of what is observed, or None where nobody has written how it looks."""
    return CARTPOLE.picture(observation) if config.id == "CartPole-v1" else None


def state(env: Env) -> dict[str, Any]:
    """All that an episode in the making consists of, as plain values. Raises BadData for an environment that does
    not show its state."""
    inner = env.unwrapped
    if not hasattr(inner, "state"):
        raise BadData.at(
            f"environment {env.spec.id if env.spec else env}", "does not show its state, so it cannot be resumed"
        )
    values = None if inner.state is None else [float(value) for value in inner.state]
    limit = _time_limit(env)
    generator = inner.np_random.bit_generator.state
    return {"values": values, "steps": limit._elapsed_steps, "generator": _plain(generator)}


def restore(env: Env, told: dict[str, Any]) -> None:
    """Put an environment into a state that `state` told."""
    env.reset(seed=0)
    inner: Any = env.unwrapped
    inner.state = None if told["values"] is None else np.array(told["values"], dtype=np.float64)
    inner.np_random.bit_generator.state = _whole(told["generator"])
    _time_limit(env)._elapsed_steps = told["steps"]


def _time_limit(env: Any) -> Any:
    while not isinstance(env, gymnasium.wrappers.TimeLimit):
        env = env.env
    return env


def _plain(value: Any) -> Any:
    """Numbers over 64 bits as texts: a checkpoint's reader takes small ones alone."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return f"int:{value}" if isinstance(value, int) else value


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    return int(value.removeprefix("int:")) if isinstance(value, str) and value.startswith("int:") else value

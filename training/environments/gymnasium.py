"""Gymnasium environments, by id.

Source: Towers et al. 2024, arXiv 2407.17032.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from pydantic import BaseModel, Field, field_validator

from millstream.tracking.dataset.records import Affine, Column
from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.recipe import plugins
from millstream.training.environments._drawings import CARTPOLE
from millstream.training.environments._protocol import Env, VectorEnv

KNOWN = {
    "CartPole-v1": (("cart_position", "cart_velocity", "pole_angle", "pole_speed"), ("left", "right")),
    "Acrobot-v1": (
        ("cos_1", "sin_1", "cos_2", "sin_2", "speed_1", "speed_2"),
        ("torque -1", "torque 0", "torque +1"),
    ),
}
"""Names of the observation's numbers and of the actions, for known environments."""
SHOWN = "gymnasium.envs.classic_control"
"""Module prefix of the environments whose attribute `state` is their complete state."""
CHANNELS = (1, 3, 4)
"""Lengths of a last axis that is the channel axis: grey, RGB, RGBA."""


class Config(BaseModel, frozen=True, extra="forbid"):
    id: str = Field(description="Gymnasium id of the environment, with its version: CartPole-v1")

    @field_validator("id")
    @classmethod
    def _registered(cls, name: str) -> str:
        known = list(gymnasium.registry)
        # an id with a colon would import the module before the colon
        if name not in known:
            raise ValueError(f"{name!r}: no such environment; {plugins.suggest(name, known)}")
        return name


def make(config: Config) -> Env:
    return _adapted(gymnasium.make(config.id))


def make_vector(config: Config, count: int) -> VectorEnv:
    return gymnasium.make_vec(
        config.id,
        num_envs=count,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
        wrappers=[_adapted],
    )


def signature(config: Config) -> Signature:
    env = make(config)
    env.close()
    names, choices = KNOWN.get(config.id, (None, None))
    inputs, actions = _inputs(env.observation_space, names), _actions(env.action_space, choices)
    if not inputs or not actions:
        spaces = f"observes {env.observation_space} and acts in {env.action_space}"
        readable = "observations are to be Box or Discrete, actions Discrete, MultiDiscrete or Box"
        raise WrongRecipe.at(f"environment {config.id}", f"{spaces}; {readable}")
    return Signature.of([*inputs, *actions], [action.name for action in actions])


def threshold(config: Config) -> float | None:
    threshold = gymnasium.spec(config.id).reward_threshold
    return None if threshold is None else float(threshold)


def identity(config: Config) -> dict[str, str]:
    return {"environment id": config.id, "gymnasium": importlib.metadata.version("gymnasium")}


def draw(config: Config, observation: NDArray[Any]) -> NDArray[np.uint8] | None:
    if config.id == "CartPole-v1":
        return CARTPOLE.rendered(observation)
    if observation.dtype == np.uint8 and observation.ndim == 3 and len(observation) in CHANNELS:
        return np.broadcast_to(np.moveaxis(observation, 0, -1)[..., :3], (*observation.shape[1:], 3))
    return None


def state(env: Env) -> dict[str, Any] | None:
    inner, limit = env.unwrapped, _time_limit(env)
    if not type(inner).__module__.startswith(SHOWN) or limit is None:
        return None
    values = None if inner.state is None else np.asarray(inner.state)
    return {
        "values": None if values is None else [float(value) for value in values],
        # the episode continues in the same precision
        "dtype": None if values is None else values.dtype.name,
        "steps": limit._elapsed_steps,
        "generator": _plain(inner.np_random.bit_generator.state),
    }


def restore(env: Env, state: dict[str, Any]) -> None:
    env.reset(seed=0)
    inner, limit = env.unwrapped, _time_limit(env)
    inner.state = None if state["values"] is None else np.array(state["values"], dtype=state["dtype"])
    inner.np_random.bit_generator.state = _whole(state["generator"])
    if limit is not None:
        limit._elapsed_steps = state["steps"]


def _adapted(env: Env) -> Env:
    """The environment wrapped so that images are channels first and discrete values start at 0."""
    seen, acts = env.observation_space, env.action_space
    if _is_image(seen) and seen.shape[-1] in CHANNELS:
        space = Box(np.moveaxis(seen.low, -1, 0), np.moveaxis(seen.high, -1, 0), dtype=seen.dtype)
        env = gymnasium.wrappers.TransformObservation(env, lambda image: np.moveaxis(image, -1, 0), space)
    if isinstance(seen, Discrete) and seen.start:
        env = gymnasium.wrappers.TransformObservation(env, lambda one: one - seen.start, Discrete(seen.n))
    if isinstance(acts, Discrete) and acts.start:
        env = gymnasium.wrappers.TransformAction(env, lambda one: one + acts.start, Discrete(acts.n))
    return env


def _is_image(space: Any) -> bool:
    return isinstance(space, Box) and space.dtype == np.uint8 and len(space.shape) == 3


def _inputs(space: Any, names: tuple[str, ...] | None) -> list[Column]:
    """A vector as one numeric column per entry, other arrays as a tensor (images in [0, 1]), discrete as a category."""
    if isinstance(space, Discrete):
        classes = tuple(map(str, range(space.n)))
        return [Column(name="observation", dtype="int64", role="input", meaning="category", classes=classes)]
    if not isinstance(space, Box):
        return []
    if len(space.shape) <= 1:
        names = names or tuple(f"observation_{at}" for at in range(int(np.prod(space.shape))))
        return [Column(name=name, dtype="float32", role="input", meaning="number") for name in names]
    is_image = _is_image(space)
    column = Column(
        name="observation",
        dtype=space.dtype.name if is_image else "float32",
        layout="tensor",
        shape=space.shape,
        axes="CHW" if is_image else "",
        role="input",
        meaning="image" if is_image else "vector",
        affine=Affine(factor=1 / 255) if is_image else None,
    )
    return [column]


def _actions(space: Any, names: tuple[str, ...] | None) -> list[Column]:
    if isinstance(space, Discrete):
        return [_choice("action", int(space.n), names)]
    if isinstance(space, MultiDiscrete) and space.nvec.ndim == 1:
        return [_choice(f"action_{at}", int(count), None) for at, count in enumerate(space.nvec)]
    if isinstance(space, Box):
        about = {"dtype": "float32", "layout": "tensor", "role": "target", "meaning": "vector"}
        return [Column.model_validate({"name": "action", "shape": space.shape, **about})]
    return []


def _choice(name: str, count: int, classes: tuple[str, ...] | None) -> Column:
    classes = classes or tuple(map(str, range(count)))
    return Column(name=name, dtype="int64", role="target", meaning="category", classes=classes)


def _time_limit(env: Any) -> Any:
    """The TimeLimit wrapper of an environment; None without one."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            return env
        env = env.env
    return None


def _plain(value: Any) -> Any:
    """Integers as strings: they can exceed 64 bits, which the checkpoint reader refuses."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return f"int:{value}" if isinstance(value, int) else value


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    return int(value.removeprefix("int:")) if isinstance(value, str) and value.startswith("int:") else value

"""An environment whose every step is known, and an actor with a critic for continuous actions."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import cycle
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from pydantic import BaseModel
from torch import nn

from millstream.training.assembly.build import Parts
from millstream.training.config.fit import Fit
from millstream.training.environments import gymnasium as by_id
from millstream.training.loop.job import Job
from millstream.training.networks.mlp import mlp
from millstream.training.optimization.optimizer_step import Update
from millstream.training.rl.agent import Agent, AgentConfig
from millstream.training.tensors import as_numpy
from tests.training.fitted import FIT, Remembered, located

PENDULUM = by_id.Config(id="Pendulum-v1")
ENDS = (("truncated",), ("terminated",), ("terminated", "truncated"))
LENGTH = 3


class Counting(gymnasium.Env):
    """Observes (start of the episode, steps in it); episodes of three steps end in each of the ways of ENDS in turn.

    A start is drawn from the environment's generator. Its state is hidden.
    """

    observation_space = gymnasium.spaces.Box(0, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.ends = cycle(ENDS)
        self.start, self.steps, self.end = int(self.np_random.integers(1, 1000)), 0, next(self.ends)
        return self._observed, {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        ended = {one: self.steps == LENGTH and one in self.end for one in ("terminated", "truncated")}
        return self._observed, float(self.steps), ended["terminated"], ended["truncated"], {}

    @property
    def _observed(self) -> Any:
        return np.array([self.start, self.steps], np.float32)


gymnasium.register("Counting-v0", Counting, disable_env_checker=True, order_enforce=False)
COUNTING = by_id.Config(id="Counting-v0")


class Network(BaseModel, frozen=True):
    hidden: tuple[int, ...] = (16,)


class ActorCritic(nn.Module):
    def __init__(self, config: Network, signature: Any) -> None:
        super().__init__()
        about = mlp.Config(hidden=config.hidden, activation="tanh")
        self.actor = mlp.build(about, signature.with_outputs(2 * signature.outputs))
        self.critic = mlp.build(about, signature.with_outputs(1))


class networks:  # noqa: N801, it stands for a module
    build = ActorCritic


class Config(AgentConfig, frozen=True):
    passes: int = 3
    discount: float = 0.9
    clip: float = 0.2


class Clipped(Agent):
    """In the shape of PPO: a rollout of N x T steps, then passes over it by two optimizers. Not the whole algorithm."""

    actions = ("continuous", "discrete")
    outputs = {"action": "Array(double)"}  # noqa: RUF012

    @classmethod
    def updates_per_batch(cls, config: Config) -> dict[str, Fraction]:
        return {"actor": Fraction(config.passes), "critic": Fraction(config.passes)}

    def best(self, observation_N: Any) -> Any:
        return as_numpy(self._policy(torch.from_numpy(observation_N)).mean)

    def act(self, observation_N: Any, step: int) -> Any:
        return as_numpy(self._policy(torch.from_numpy(observation_N)).sample())

    def updates(self, rollout: Any) -> Iterator[Update]:
        self.rollout, flat = rollout, rollout.flat()
        with torch.no_grad():
            before_B = self._log_probability(flat)
            goal_B = flat.reward + self.config.discount * self._value(flat.next) * ~flat.terminated
            advantage_B = goal_B - self._value(flat.observation)

        def policy() -> Iterator[Any]:
            ratio_B = (self._log_probability(flat) - before_B).exp()
            bounded_B = ratio_B.clamp(1 - self.config.clip, 1 + self.config.clip)
            yield -torch.minimum(ratio_B * advantage_B, bounded_B * advantage_B).mean()

        def value() -> Iterator[Any]:
            yield (self._value(flat.observation) - goal_B).square().mean()

        for _ in range(self.config.passes):
            yield Update("actor", policy, "train/policy_loss")
            yield Update("critic", value, "train/value_loss")

    def _policy(self, observation: Any) -> Any:
        mean, spread = self.network.actor(self.read(observation)).chunk(2, dim=1)
        return torch.distributions.Normal(mean, spread.exp())

    def _log_probability(self, flat: Any) -> Any:
        return self._policy(flat.observation).log_prob(flat.action).sum(dim=1)

    def _value(self, observation: Any) -> Any:
        return self.network.critic(self.read(observation))[:, 0]


def job_in(
    folder: Path, environment: str, agent: Any, config: Any, network: Any, network_config: Any, **fit: Any
) -> Job:
    """A training of an agent of these tests, whatever the recipe's task is called."""
    sections = {"environment": {"name": "gymnasium", "id": environment}, "task": {"name": "reinforce/dqn"}}
    recipe, run = located(folder, data=None, fit=fit, **sections), Remembered(folder / "run")
    parts = Parts(agent, config, network, network_config, Fit.model_validate(FIT | fit))
    return Job.of(recipe, run, None, parts)  # type: ignore[arg-type]

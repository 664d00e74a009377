"""Deep Q-learning with replay: action values, learned off-policy from stored transitions.

Source: Mnih et al. 2015, doi:10.1038/nature14236, Algorithm 1; double: van Hasselt et al. 2016, arXiv 1509.06461.
Differs from it: the Huber loss of the TD error (the paper clips its gradient, which is the same at 1), and soft target
updates instead of periodic copies (arXiv 1509.02971).
Axes: B transitions, A actions, N environments.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.seeds import key
from millstream.training.config.fit import Fit
from millstream.training.optimization.optimizer_step import Update
from millstream.training.predictions.reinforce import dqn as prediction
from millstream.training.rl.agent import Agent, AgentConfig
from millstream.training.rl.replay_buffer import Replay
from millstream.training.rl.rollout import Transitions
from millstream.training.tensors import as_numpy


class Config(AgentConfig, frozen=True):
    discount: float = Field(0.99, ge=0, le=1, description="discount factor of the reward per step")
    memory: int = Field(100_000, ge=1, description="capacity of the replay buffer, in transitions")
    warm_up: int = Field(1_000, ge=1, description="environment steps before the first gradient step")
    learn: int = Field(128, ge=1, description="gradient steps per round")
    blend: float = Field(
        0.01, gt=0, le=1, description="soft-update coefficient of the target network, per gradient step"
    )
    explore: float = Field(0.16, gt=0, le=1, description="fraction of the steps over which epsilon is annealed")
    random: float = Field(0.04, ge=0, le=1, description="final epsilon: probability of a random action")
    double: bool = Field(
        False, description="double DQN: the online network selects the next action, the target network evaluates it"
    )


TINY = Config(steps=64, act=16, warm_up=16, learn=2, memory=100, episodes=1, valid_episodes=1)


class Dqn(Agent):
    """DQN agent; the network returns the value of each action, (B, A)."""

    actions: ClassVar = ("discrete",)
    outputs: ClassVar = prediction.Predictor.outputs

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        super().__init__(config, network, signature, fit)
        self.target = copy.deepcopy(network).requires_grad_(False)
        self.replay, self.learned = Replay(config.memory, fit.seed), 0

    @classmethod
    def updates_per_batch(cls, config: Any) -> Mapping[str, Fraction]:
        return {"network": Fraction(config.learn)}

    def best(self, observation_N: NDArray[Any]) -> NDArray[Any]:
        return as_numpy(self.network(self.read(torch.from_numpy(observation_N))).argmax(dim=1))

    def act(self, observation_N: NDArray[Any], step: int) -> NDArray[Any]:
        """Epsilon-greedy actions; epsilon is annealed linearly to `random`."""
        config = self.config
        faded = min(1.0, step / (config.explore * config.steps))
        probability = 1.0 + faded * (config.random - 1.0)
        generator = np.random.Generator(np.random.PCG64(key(self.fit.seed, "act", step)))
        action_N = np.full(len(observation_N), -1)
        for at in range(len(action_N)):
            if step < config.warm_up or generator.random() < probability:
                action_N[at] = generator.integers(len(self.signature.classes))
        return np.where(action_N < 0, self.best(observation_N), action_N) if (action_N < 0).any() else action_N

    def updates(self, rollout: Transitions) -> Iterator[Update]:  # type: ignore[override]
        self.replay.extend(rollout.flat())
        if self.step_number <= self.config.warm_up:
            return
        for _ in range(self.config.learn):
            drawn = self.replay.draw(self.fit.batch_size, self.learned).to(self.device)
            yield Update("network", partial(self._losses, drawn), "train/loss")
            self._blend()
            self.learned += 1

    @property
    def predictor(self) -> prediction.Predictor:
        return prediction.Predictor(actions=self.signature.classes)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["replay"] = {"gradients": self.learned, **self.replay.state_dict()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.learned = checkpoint["replay"]["gradients"]
        self.replay.load_state_dict(checkpoint["replay"])

    def _losses(self, drawn: Transitions) -> Iterator[Tensor]:
        goal_B = self._goal(drawn)
        values_B = self.network(self.read(drawn.observation)).gather(1, drawn.action[:, None])[:, 0]
        yield functional.smooth_l1_loss(values_B, goal_B)

    @torch.no_grad()
    def _goal(self, drawn: Transitions) -> Tensor:
        after = self.read(drawn.next)
        next_BA = self.target(after)
        choice_B = (self.network(after) if self.config.double else next_BA).argmax(dim=1)
        best_B = next_BA.gather(1, choice_B[:, None])[:, 0]
        return td_target(drawn.reward, drawn.terminated, best_B, discount=self.config.discount)

    @torch.no_grad()
    def _blend(self) -> None:
        """Soft update of the target network (Lillicrap et al. 2016, arXiv 1509.02971, section 3)."""
        for slow, fast in zip(self.target.parameters(), self.network.parameters(), strict=True):
            slow.lerp_(fast, self.config.blend)


def td_target(reward_B: Tensor, terminated_B: Tensor, best_B: Tensor, *, discount: float) -> Tensor:
    """r + discount * max_a Q(s', a), or r where the episode terminated; (B,). Mnih et al. 2015, Algorithm 1."""
    return reward_B + discount * best_B * ~terminated_B

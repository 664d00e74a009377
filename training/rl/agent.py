"""Base of reinforcement learning tasks: acting, rounds of updates, validation and test episodes, state, figures.

An algorithm is a file `training/tasks/reinforce/<name>.py` with a `Config` that extends `AgentConfig` and a subclass
of `Agent`, which defines the behaviour policy, the evaluated policy and the updates from a rollout.
Axes: N environments, T steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.figures.frames import film, frames
from millstream.tracking.figures.returns import returns
from millstream.tracking.recipe.schema import Direction
from millstream.tracking.seeds import key
from millstream.training.config.fit import Fit
from millstream.training.environments._protocol import Environment
from millstream.training.optimization.optimizer_step import Update
from millstream.training.rl.episodes import SEEDS, Episodes, allowed
from millstream.training.rl.rollout import Transitions, collect
from millstream.training.task import Task

Actions = Literal["discrete", "multi-discrete", "continuous"]
FRAMES = 8
FRAME_EVERY = 2
FRAME_S = 0.04
RECENT = 20
"""Episodes averaged in `train/return`."""


class AgentConfig(BaseModel, frozen=True, extra="forbid"):
    """Configuration fields shared by all algorithms."""

    steps: int = Field(50_000, ge=1, description="environment steps over all epochs")
    environments: int = Field(1, ge=1, description="environments stepped in parallel")
    act: int = Field(256, ge=1, description="environment steps, over all environments, between two rounds of updates")
    episodes: int = Field(100, ge=1, description="test episodes")
    valid_episodes: int = Field(10, ge=1, description="episodes per validation")
    solved: int | None = Field(
        None,
        ge=1,
        description="training stops after this many consecutive validations at or above the reward threshold",
    )

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.act % self.environments:
            raise ValueError(f"environments: {self.environments} does not divide act, {self.act} steps a round")
        return self


class Agent(Task):
    """Base of agents that learn in an environment, which `enter` sets.

    A training round collects a rollout of `config.act` steps with `act(...)`, then takes the steps that `updates`
    yields. A subclass defines `best`, `updates`, `updates_per_batch` (here per round) and `predict`, overrides `act` to
    explore, and saves its state other than the network in `on_save_checkpoint`.
    """

    steps_by_rows: ClassVar[bool] = False
    trains_estimators: ClassVar[bool] = False
    learns_from: ClassVar[tuple[str, ...]] = ("environment",)
    directions: ClassVar[Mapping[str, Direction]] = {"return": "max", "return_deviation": "min"}
    actions: ClassVar[tuple[Actions, ...]]
    """Kinds of action that the algorithm supports."""

    def __init__(self, config: Any, network: nn.Module, signature: Signature, fit: Fit) -> None:
        """Raises WrongRecipe for unsupported kinds of action, and for an estimator."""
        kind, name = kind_of_actions(signature), type(self).__name__.lower()
        if kind not in self.actions:
            learns = " or ".join(self.actions)
            message = f"{name} learns {learns} actions, and those of the environment are {kind}; change one of the two"
            raise WrongRecipe.at("task", message)
        super().__init__(config, network, signature, fit)
        self.step_number, self.solved = 0, 0
        self.course: list[list[float]] = []
        """[step, return] of each episode of training."""
        self.played: dict[str, list[float]] = {"valid": [], "test": []}

    @classmethod
    def rounds(cls, config: Any, fit: Fit) -> Mapping[str, int]:
        """Number of training rounds per epoch, and of episodes per validation and test."""
        train = max(1, config.steps // config.act) // fit.epochs
        return {"train": max(1, train), "valid": config.valid_episodes, "test": config.episodes}

    def best(self, observation_N: NDArray[Any]) -> NDArray[Any]:
        """Actions of the evaluated policy, without exploration."""
        raise NotImplementedError(f"{type(self).__name__} does not define best()")

    def act(self, observation_N: NDArray[Any], step: int) -> NDArray[Any]:
        """Training actions after `step` environment steps in all; the default is `best`."""
        return self.best(observation_N)

    def updates(self, rollout: Transitions) -> Iterator[Update]:  # type: ignore[override]
        """Yields the updates of a round; each is applied before the next is requested."""
        raise NotImplementedError(f"{type(self).__name__} does not define updates()")

    def read(self, observation: Tensor) -> Tensor:
        """Network inputs for observations (B, ...) of the environment, on the network's device."""
        field = self.signature.inputs[0]
        affine, values = field.columns[0].affine, observation.to(self.device, getattr(torch, field.dtype))
        if affine is not None:
            values = (values - affine.offset) * affine.factor
        return values.reshape(len(values), *field.shape)

    def measures(self, stage: str) -> list[str]:
        return ["return", "return_deviation"]

    def enter(self, environment: Environment, config: Any) -> None:
        self.environment, self.environment_config = environment, config

    def setup(self, stage: str) -> None:
        if stage == "fit":
            whole = (self.environment, self.environment_config, self.config.environments, self.fit.seed)
            self.episodes = Episodes(*whole)

    def teardown(self, stage: str) -> None:
        if stage == "fit":
            self.episodes.close()

    def training_step(self, batch: Any, index: int) -> None:
        losses: dict[str, list[Tensor]] = defaultdict(list)
        for update in self.updates(self.collect()):
            losses[update.loss].append(self.descend(update.losses, update.optimizer))
        if losses and (self.has_point or self.trainer.is_last_batch):
            recent = [total for _, total in self.course[-RECENT:]]
            means = {name: torch.stack(values).mean() for name, values in losses.items()}
            self.log_dict({**means, **({"train/return": float(np.mean(recent))} if recent else {})})

    @torch.no_grad()
    def collect(self) -> Transitions:
        """The rollout (T, N) of a round."""
        count, start = self.config.environments, self.step_number

        def act(observation_N: NDArray[Any]) -> NDArray[Any]:
            action_N = self.act(observation_N, self.step_number)
            self.step_number += count
            return action_N

        rollout, ended = collect(self.episodes, act, self.config.act // count)
        self.course += [[float(start + at * count), total] for at, total in ended]
        return rollout

    def validation_step(self, batch: Any, index: int) -> None:
        self.played["valid"].append(self.play("valid", index)[0])

    def test_step(self, batch: Any, index: int) -> None:
        self.played["test"].append(self.play("test", index)[0])

    @torch.no_grad()
    def play(self, stage: str, number: int) -> tuple[float, list[NDArray[Any]]]:
        """Return and observations of one episode of the evaluated policy."""
        env = self.environment.make(self.environment_config)
        observation, _ = env.reset(seed=key(self.fit.seed, stage, number) % SEEDS)
        course, total, ended = [observation], 0.0, False
        while not ended:
            action = self.best(np.asarray(observation)[None])[0]
            observation, reward, terminated, truncated, _ = env.step(allowed(env.action_space, action))
            course.append(observation)
            total += float(reward)
            ended = terminated or truncated
        env.close()
        return total, course

    def figures(self) -> dict[str, Figure]:
        figures = {"returns": returns(self.course)} if self.course else {}
        images = self._images()
        if images:
            steps = np.linspace(0, len(images) - 1, min(FRAMES, len(images))).astype(int).tolist()
            figures["episode"] = frames([images[at] for at in steps], [at * FRAME_EVERY for at in steps])
        return figures

    def films(self) -> dict[str, bytes]:
        images = self._images()
        return {"episode": film(images, FRAME_S)} if images else {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["acting"] = {
            "step": self.step_number,
            "solved": self.solved,
            "course": self.course,
            "episodes": self.episodes.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        acting = checkpoint["acting"]
        self.step_number, self.solved, self.course = acting["step"], acting["solved"], acting["course"]
        self.episodes.load_state_dict(acting["episodes"], self.step_number)

    def _report(self, stage: str) -> None:
        totals = np.array(self.played[stage])
        if self.trainer.state.fn == TrainerFn.FITTING:
            self._end_when_solved(float(totals.mean()))
        self.log_dict({f"{stage}/return": float(totals.mean()), f"{stage}/return_deviation": float(totals.std())})
        self.played[stage] = []

    def _end_when_solved(self, mean_return: float) -> None:
        threshold = self.environment.threshold(self.environment_config)
        self.solved = self.solved + 1 if threshold is not None and mean_return >= threshold else 0
        if self.solved == self.config.solved:
            self.trainer.should_stop = True

    def _images(self) -> list[NDArray[np.uint8]]:
        _, course = self.play("test", 0)
        drawn = [self.environment.draw(self.environment_config, one) for one in course[::FRAME_EVERY]]
        return [image for image in drawn if image is not None]


def kind_of_actions(signature: Signature) -> Actions:
    """The kind of action, from the targets of an environment's signature."""
    if not signature.classes:
        return "continuous"
    return "discrete" if [field.name for field in signature.targets] == ["action"] else "multi-discrete"

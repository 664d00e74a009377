"""Deep Q-learning with replay: the value of each action, learned from transitions of an earlier policy.

Source: Mnih et al. 2015, doi:10.1038/nature14236, Algorithm 1; double: van Hasselt et al. 2016, arXiv 1509.06461.
Differs from it: the loss is Huber's on the difference (the paper clips its gradient, which is the same at 1), and the
target network follows by blending in place of copies now and then (arXiv 1509.02971).
Axes: B transitions, D numbers observed, A actions.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.nn import functional

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.figures.frames import film, frames
from millstream.tracking.figures.returns import returns
from millstream.tracking.seeds import key
from millstream.training.config.fit import Fit
from millstream.training.rl.replay_buffer import Replay, Transitions
from millstream.training.task import Task
from millstream.training.tensors import as_numpy

FRAMES = 8
FRAME_EVERY = 2
FRAME_S = 0.04


class Config(BaseModel, frozen=True, extra="forbid"):
    steps: int = Field(50_000, ge=1, description="steps in the environment, over all epochs")
    discount: float = Field(0.99, ge=0, le=1, description="what a reward one step later is worth")
    memory: int = Field(100_000, ge=1, description="transitions kept for replay")
    warm_up: int = Field(1_000, ge=1, description="steps before the first gradient")
    act: int = Field(256, ge=1, description="steps in the environment between two rounds of gradients")
    learn: int = Field(128, ge=1, description="gradient steps of a round")
    blend: float = Field(
        0.01, gt=0, le=1, description="share of the online network that enters the target each gradient step"
    )
    explore: float = Field(0.16, gt=0, le=1, description="share of the steps over which random actions fade")
    random: float = Field(0.04, ge=0, le=1, description="share of random actions in the end")
    double: bool = Field(False, description="the online network chooses the next action, the target network judges it")
    episodes: int = Field(100, ge=1, description="episodes of the test")
    valid_episodes: int = Field(10, ge=1, description="episodes of each look at valid")
    solved: int | None = Field(
        None,
        ge=1,
        description="looks at valid in a row over the environment's own threshold, after which training ends",
    )


class Dqn(Task):
    """`task.enter` puts it into its environment, which then is its source of data."""

    outputs: ClassVar = {"action": "string", "value": "double"}
    steps_by_rows: ClassVar = False

    def __init__(self, config: Config, network: nn.Module, signature: Signature, fit: Fit) -> None:
        super().__init__(config, network, signature, fit)
        self.target = copy.deepcopy(network).requires_grad_(False)
        self.replay = Replay(config.memory, signature.inputs[0].shape[0], fit.seed)
        self.step_number, self.learned, self.solved = 0, 0, 0
        self.course: list[list[float]] = []
        self.played: dict[str, list[float]] = {"valid": [], "test": []}

    @classmethod
    def targets_of(cls, config: Any) -> tuple[str, ...]:
        return ("action",)

    def enter(self, environment: Any, config: Any) -> None:
        """Stand in an environment of `training.environments`, at the start of an episode."""
        self.environment, self.environment_config = environment, config
        self.env = environment.make(config)
        self.seen, _ = self.env.reset(seed=key(self.fit.seed, "episodes") % (1 << 32))
        self.episode_return = 0.0

    def train_dataloader(self) -> Rounds:
        rounds = max(1, self.config.steps // self.config.act)
        return Rounds(max(1, rounds // self.fit.epochs))

    def val_dataloader(self) -> Rounds:
        return Rounds(self.config.valid_episodes)

    def test_dataloader(self) -> Rounds:
        return Rounds(self.config.episodes)

    def configure_optimizers(self) -> Any:
        return self.optimizer_of("network", len(self.train_dataloader()) * self.fit.epochs * self.config.learn)

    def measures(self, stage: str) -> list[str]:
        return ["return", "return_deviation"]

    def training_step(self, batch: Any, index: int) -> None:
        """Act for a while, then learn from what the memory holds."""
        for _ in range(self.config.act):
            self._act()
        if self.step_number <= self.config.warm_up:
            return
        losses = [self._learn() for _ in range(self.config.learn)]
        recent = [total for _, total in self.course[-20:]]
        returns = {"train/return": float(np.mean(recent))} if recent else {}
        if self.has_point or self.trainer.is_last_batch:
            self.log_dict({"train/loss": torch.stack(losses).mean(), **returns})

    def validation_step(self, batch: Any, index: int) -> None:
        self.played["valid"].append(self.play("valid", index)[0])

    def test_step(self, batch: Any, index: int) -> None:
        self.played["test"].append(self.play("test", index)[0])

    def _report(self, stage: str) -> None:
        found = np.array(self.played[stage])
        if self.trainer.state.fn == TrainerFn.FITTING:
            self._end_when_solved(float(found.mean()))
        self.log_dict({f"{stage}/return": float(found.mean()), f"{stage}/return_deviation": float(found.std())})
        self.played[stage] = []

    def _end_when_solved(self, mean_return: float) -> None:
        threshold = self.environment.threshold(self.environment_config)
        self.solved = self.solved + 1 if threshold is not None and mean_return >= threshold else 0
        if self.solved == self.config.solved:
            self.trainer.should_stop = True

    def play(self, stage: str, number: int) -> tuple[float, list[NDArray[np.float32]]]:
        """The return of one episode of the policy as it is, and all that was seen in it."""
        env = self.environment.make(self.environment_config)
        seen, _ = env.reset(seed=key(self.fit.seed, stage, number) % (1 << 32))
        course, total, over = [seen], 0.0, False
        while not over:
            seen, reward, ended, timed_out, _ = env.step(self._best(seen))
            course.append(seen)
            total += float(reward)
            over = ended or timed_out
        env.close()
        return total, course

    def predict(self, *inputs: Tensor) -> dict[str, NDArray[Any] | list[Any]]:
        values_BA = self.network(*inputs)
        best_B = values_BA.argmax(dim=1)
        return {
            "action": [self.signature.classes[at] for at in best_B.tolist()],
            "value": as_numpy(values_BA.gather(1, best_B[:, None])[:, 0].double()),
        }

    def figures(self) -> dict[str, Figure]:
        found = {"returns": returns(self.course)} if self.course else {}
        pictures = self._pictures()
        if pictures:
            steps = np.linspace(0, len(pictures) - 1, min(FRAMES, len(pictures))).astype(int).tolist()
            found["episode"] = frames([pictures[at] for at in steps], [at * FRAME_EVERY for at in steps])
        return found

    def films(self) -> dict[str, bytes]:
        pictures = self._pictures()
        return {"episode": film(pictures, FRAME_S)} if pictures else {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["acting"] = {
            "step": self.step_number,
            "gradients": self.learned,
            "solved": self.solved,
            "replay": self.replay.state_dict(),
            "environment": self.environment.state(self.env),
            "seen": torch.from_numpy(np.asarray(self.seen)),
            "episode_return": self.episode_return,
            "course": self.course,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        told = checkpoint["acting"]
        self.step_number, self.learned, self.solved = told["step"], told["gradients"], told["solved"]
        self.replay.load_state_dict(told["replay"])
        self.environment.restore(self.env, told["environment"])
        self.seen = told["seen"].numpy()
        self.episode_return, self.course = told["episode_return"], told["course"]

    def _act(self) -> None:
        config = self.config
        faded = min(1.0, self.step_number / (config.explore * config.steps))
        chance = 1.0 + faded * (config.random - 1.0)
        generator = np.random.Generator(np.random.PCG64(key(self.fit.seed, "act", self.step_number)))
        is_random = self.step_number < config.warm_up or generator.random() < chance
        action = int(generator.integers(len(self.signature.classes))) if is_random else self._best(self.seen)
        after, reward, ended, timed_out, _ = self.env.step(action)
        self.replay.add(self.seen, action, float(reward), after, bool(ended))
        self.episode_return += float(reward)
        self.seen = after
        self.step_number += 1
        if ended or timed_out:
            self.course.append([float(self.step_number), self.episode_return])
            self.seen, self.episode_return = self.env.reset()[0], 0.0

    @torch.no_grad()
    def _best(self, seen: NDArray[np.float32]) -> int:
        return int(self.network(torch.from_numpy(np.asarray(seen, np.float32))[None]).argmax())

    def _learn(self) -> Tensor:
        drawn = self.replay.draw(self.fit.batch_size, self.learned)
        goal_B = self._goal(drawn)

        def missed() -> Iterator[Tensor]:
            values_B = self.network(drawn.seen_BD).gather(1, drawn.action_B[:, None])[:, 0]
            yield functional.smooth_l1_loss(values_B, goal_B)

        loss = self.descend(missed)
        self._blend()
        self.learned += 1
        return loss

    @torch.no_grad()
    def _blend(self) -> None:
        """The target network follows the online one slowly (Lillicrap et al. 2016, arXiv 1509.02971, section 3)."""
        for slow, fast in zip(self.target.parameters(), self.network.parameters(), strict=True):
            slow.lerp_(fast, self.config.blend)

    @torch.no_grad()
    def _goal(self, drawn: Transitions) -> Tensor:
        next_BA = self.target(drawn.next_BD)
        choice_B = self.network(drawn.next_BD).argmax(dim=1) if self.config.double else next_BA.argmax(dim=1)
        best_B = next_BA.gather(1, choice_B[:, None])[:, 0]
        return td_target(drawn.reward_B, drawn.ended_B, best_B, discount=self.config.discount)

    def _pictures(self) -> list[NDArray[np.uint8]]:
        _, course = self.play("test", 0)
        drawn = [self.environment.draw(self.environment_config, seen) for seen in course[::FRAME_EVERY]]
        return [picture for picture in drawn if picture is not None]


class Rounds:
    """Numbers of rounds: an environment brings its own data, and a trainer wants something to count."""

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


def td_target(reward_B: Tensor, ended_B: Tensor, best_B: Tensor, *, discount: float) -> Tensor:
    """r + discount * max_a Q(s', a), and r alone where the episode ended; (B,). Mnih et al. 2015, Algorithm 1."""
    return reward_B + discount * best_B * ~ended_B

"""Agents through the real Trainer, under the contract of `training.rl.agent`."""

import gymnasium
import numpy as np
import pytest
import torch

from millstream.tracking.errors import WrongRecipe
from millstream.tracking.recipe import plugins
from millstream.training.checkpoints import archive
from millstream.training.networks.mlp import mlp
from millstream.training.rl.agent import Agent, AgentConfig
from millstream.training.tasks.reinforce import dqn
from tests.training import fitted
from tests.training.rl.made import COUNTING, Clipped, Config, Network, job_in, networks

CONTINUOUS = Config(steps=4000, environments=4, act=100, episodes=2, valid_episodes=1)
"""25 steps of each environment a round; 40 rounds."""
KEPT = {"checkpoint_every": 3, "keep_last": 99, "epochs": 4}


def continuous(folder, **fit):
    return job_in(folder, "Pendulum-v1", Clipped, CONTINUOUS, networks, Network(), **KEPT | fit)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return fitted.trained(continuous(tmp_path_factory.mktemp("whole")))


def test_four_environments_with_a_continuous_action_are_rolled_out_and_learned_from(whole):
    task = whole.job.task
    assert task.rollout.observation.shape == (25, 4, 3)
    assert task.rollout.action.shape == (25, 4, 1)
    assert task.step_number == 4000
    # each environment is cut off after 200 steps of its own, 800 of all
    assert [step for step, _ in task.course] == [800.0 * at for at in range(1, 6) for _ in range(4)]
    # two optimizers, three steps of each a round
    assert whole.trainer.global_step == 40 * 3 * 2
    assert [len(one.param_groups[0]["params"]) for one in whole.trainer.optimizers] == [4, 4]
    assert {"train/policy_loss", "train/value_loss", "train/return", "valid/return"} <= whole.history.curves.keys()
    values = [value for _, value in whole.history.curves["train/value_loss"]]
    assert values[-1] < values[0]
    assert {"test/return", "test/return_deviation", "best/return"} <= whole.metrics.keys()


@pytest.mark.fault
def test_agents_in_environments_that_show_their_state_resume_to_the_same_bits(tmp_path, whole):
    starts = archive.newest_first(whole.job.folder)
    for start in (starts[-1], starts[len(starts) // 2]):
        again = fitted.trained(continuous(tmp_path / start.stem), start=start)
        assert again.weights == whole.weights
        assert again.metrics == whole.metrics
        assert again.job.task.course == whole.job.task.course


@pytest.mark.fault
def test_an_agent_in_an_environment_that_hides_its_state_resumes_repeatably(tmp_path):
    config = dqn.Config(steps=400, act=20, environments=2, warm_up=20, learn=2, memory=100, episodes=2)

    def learner(folder):
        return job_in(folder, COUNTING.id, dqn.Dqn, config, mlp, mlp.Config(hidden=(8,)), **KEPT)

    whole = fitted.trained(learner(tmp_path / "whole"))
    start = archive.newest_first(whole.job.folder)[-2]  # 7 steps of each environment are in the broken episodes
    one, other = (fitted.trained(learner(tmp_path / name), start=start) for name in ("one", "other"))
    assert one.weights == other.weights
    for run in (whole, one):
        kept = run.job.task.replay.draw(500, number=0)
        # no transition leads from one episode into another
        assert torch.equal(kept.next[:, 0], kept.observation[:, 0])
        assert torch.equal(kept.next[:, 1], kept.observation[:, 1] + 1)
        assert {total for _, total in run.job.task.course} == {6.0}
    assert one.job.task.step_number == whole.job.task.step_number == 400


TASKS = "millstream.training.tasks"


@pytest.mark.parametrize("name", [name for name in plugins.names(TASKS) if name.startswith("reinforce/")])
def test_an_algorithm_that_is_found_by_its_path_is_an_agent(name):
    module = plugins.find(TASKS, name)
    assert issubclass(plugins.class_of(module), Agent)
    assert issubclass(module.Config, AgentConfig)
    assert all(field.description for field in module.Config.model_fields.values())


class Images(gymnasium.Env):
    """A random image, (H, W, C); the choice is right when it names the brighter half. 4 steps."""

    observation_space = gymnasium.spaces.Box(0, 255, (6, 8, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(2, start=1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._image(), {}

    def step(self, action):
        self.steps += 1
        reward = float(action == self.side)
        return self._image(), reward, False, self.steps == 4, {}

    def _image(self):
        self.side = int(self.np_random.integers(1, 3))
        image = self.np_random.integers(0, 100, (6, 8, 3)).astype(np.uint8)
        image[:, 4 * (self.side - 1) : 4 * self.side] += 120
        return image


gymnasium.register("Images-v0", Images, disable_env_checker=True)


def test_images_are_observed_as_bytes_and_learned_from_as_numbers(tmp_path):
    config = dqn.Config(
        steps=1000, act=20, environments=2, warm_up=100, learn=10, memory=500, discount=0.0, episodes=20, explore=0.5
    )
    job = job_in(
        tmp_path,
        "Images-v0",
        dqn.Dqn,
        config,
        mlp,
        mlp.Config(hidden=(16,)),
        epochs=2,
        batch_size=32,
        optimizer={"name": "adam", "lr": 0.01},
    )
    (field,) = job.source.signature.inputs
    assert (field.meaning, field.shape, field.dtype) == ("image", (3, 6, 8), "float32")
    found = fitted.trained(job)
    drawn = found.job.task.replay.draw(32, number=0)
    assert drawn.observation.dtype == torch.uint8
    assert found.job.task.read(drawn.observation).max() <= 1.0
    # a random policy gets 2
    assert found.metrics["test/return"] > 3.5
    example = job.source.example()
    assert len(example["observation"][0]) == 3 * 6 * 8
    assert len(found.job.task.films()["episode"]) > 0


@pytest.mark.bad_input
def test_actions_of_another_kind_are_refused_in_plain_words(tmp_path):
    with pytest.raises(WrongRecipe, match="task: dqn learns discrete actions, and those of the environment are contin"):
        job_in(tmp_path, "Pendulum-v1", dqn.Dqn, dqn.Config(), mlp, mlp.Config())


@pytest.mark.bad_input
def test_steps_of_a_round_that_environments_do_not_share_are_refused():
    with pytest.raises(ValueError, match="environments: 3 does not divide act, 100 steps a round"):
        AgentConfig(act=100, environments=3)

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pytorch_lightning.trainer.states import TrainerFn

from millstream.training.config.fit import Fit
from millstream.training.environments import gymnasium
from millstream.training.networks.mlp import mlp
from millstream.training.rl.rollout import Transitions
from millstream.training.tasks.reinforce.dqn import Config, Dqn, td_target

CARTPOLE = gymnasium.Config(id="CartPole-v1")


def task(**config):
    torch.manual_seed(0)
    signature = gymnasium.signature(CARTPOLE)
    network = mlp.build(mlp.Config(hidden=(8,)), signature)
    made = Dqn(Config(**{"memory": 500, "steps": 400, **config}), network, signature, Fit(seed=3, batch_size=8))
    made.enter(gymnasium, CARTPOLE)
    made.setup("fit")
    return made


def transitions(rows=6):
    generator = torch.Generator().manual_seed(0)
    seen, after = torch.randn(2, rows, 4, generator=generator)
    terminated = torch.arange(rows) % 3 == 0
    return Transitions(seen, torch.arange(rows) % 2, torch.ones(rows), after, terminated, ~terminated)


def test_the_target_is_the_reward_alone_where_an_episode_terminated():
    found = td_target(torch.tensor([1.0, 2.0]), torch.tensor([False, True]), torch.tensor([10.0, 10.0]), discount=0.9)
    assert found.tolist() == [10.0, 2.0]


def test_the_target_network_judges_and_with_double_the_online_one_chooses():
    drawn = transitions()
    for double in (False, True):
        made = task(double=double)
        with torch.no_grad():
            for parameter in made.target.parameters():
                parameter.mul_(-1.3)
        slow, fast = made.target(drawn.next), made.network(drawn.next)
        best = slow.gather(1, fast.argmax(dim=1, keepdim=True))[:, 0] if double else slow.max(dim=1).values
        expected = drawn.reward + 0.99 * best * (~drawn.terminated).float()
        torch.testing.assert_close(made._goal(drawn), expected)


def test_the_target_network_follows_by_its_share():
    made = task(blend=0.25)
    before = copy.deepcopy(made.target)
    with torch.no_grad():
        for parameter in made.network.parameters():
            parameter.add_(1.0)
    made._blend()
    for old, new, online in zip(before.parameters(), made.target.parameters(), made.network.parameters(), strict=True):
        torch.testing.assert_close(new, 0.75 * old + 0.25 * online)


@pytest.mark.parametrize("environments", [1, 4])
def test_actions_are_random_at_first_and_the_policys_in_the_end(environments):
    made = task(steps=400, act=400, environments=environments, warm_up=1, explore=0.5, random=0.0)
    made.best = lambda seen: np.ones(len(seen), np.int64)
    taken = made.collect().action
    assert taken.shape == (400 // environments, environments)
    assert 0.1 < taken.flatten()[:50].double().mean() < 0.95
    assert set(taken.flatten()[200:].tolist()) == {1}


def test_an_episode_that_only_ran_out_of_time_has_not_terminated():
    made = task(act=1200, memory=3000, steps=3000, warm_up=1, random=0.0, explore=1e-9)
    # holds the pole up for the 500 steps allowed
    made.best = lambda seen: (seen[:, 2] + 0.5 * seen[:, 3] > 0).astype(np.int64)
    made.step_number = 1
    rollout = made.collect()
    returns = [total for _, total in made.course]
    assert max(returns) == 500
    assert rollout.terminated.sum() == sum(total < 500 for total in returns)
    assert rollout.truncated.sum() == sum(total == 500 for total in returns)


def test_acting_continues_where_a_checkpoint_was_made():
    first, second = task(act=40), task(act=40)
    rollout = first.collect()
    first.replay.extend(rollout.flat())
    saved = {}
    first.on_save_checkpoint(saved)
    second.on_load_checkpoint(copy.deepcopy(saved))
    for one, other in zip(first.collect(), second.collect(), strict=True):
        assert torch.equal(one, other)
    for one, other in zip(first.replay.draw(50, 1), second.replay.draw(50, 1), strict=True):
        assert torch.equal(one, other)
    assert first.course == second.course


def test_a_policy_is_drawn():
    made = task()
    assert {"episode"} <= made.figures().keys()
    assert made.films()["episode"].startswith(b"GIF89a")


def test_training_ends_when_the_environment_counts_as_solved_so_many_looks_in_a_row():
    made = task(solved=2)
    trainer = SimpleNamespace(state=SimpleNamespace(fn=TrainerFn.FITTING), should_stop=False)
    made._trainer, made.log_dict = trainer, lambda values: None
    ended = []
    for mean in (500.0, 474.9, 475.0, 500.0):
        made.played["valid"] = [mean, mean]
        made.on_validation_epoch_end()
        ended.append(trainer.should_stop)
    assert ended == [False, False, False, True]

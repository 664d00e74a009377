import gymnasium
import numpy as np
import torch

from millstream.tracking.seeds import key
from millstream.training.environments import gymnasium as by_id
from millstream.training.rl.episodes import Episodes
from millstream.training.rl.rollout import collect
from millstream.training.tasks.reinforce.dqn import td_target
from tests.training.rl.made import COUNTING, PENDULUM


def test_a_rollout_is_what_single_environments_give_in_a_loop_by_hand():
    steps, count, seed = 450, 4, 11
    draw = np.random.default_rng(2)
    action_TN1 = draw.uniform(-2, 2, (steps, count, 1)).astype(np.float32)
    actions = iter(action_TN1)
    rollout, ended = collect(Episodes(by_id, PENDULUM, count, seed), lambda seen: next(actions), steps)

    expected_ended = []
    for at in range(count):
        env = gymnasium.make("Pendulum-v1")
        seen, _ = env.reset(seed=key(seed, "episodes", *([at] if at else [])) % (1 << 32))
        total = 0.0
        for step in range(steps):
            after, reward, terminated, truncated, _ = env.step(action_TN1[step, at])
            total += reward
            np.testing.assert_array_equal(rollout.observation[step, at], seen)
            np.testing.assert_array_equal(rollout.next[step, at], after)
            assert rollout.reward[step, at] == np.float32(reward)
            assert (rollout.terminated[step, at], rollout.truncated[step, at]) == (terminated, truncated)
            seen = after
            if terminated or truncated:
                expected_ended.append((step + 1, at, total))
                seen, total = env.reset()[0], 0.0
    assert [(step, total) for step, _, total in sorted(expected_ended)] == ended
    assert len(ended) == 2 * count  # Pendulum is cut off after 200 steps
    np.testing.assert_array_equal(rollout.action, action_TN1)


def test_a_rollout_continues_where_the_last_one_stopped():
    still = lambda seen: np.zeros((2, 1), np.float32)  # noqa: E731
    whole, _ = collect(Episodes(by_id, PENDULUM, 2, 5), still, 30)
    episodes = Episodes(by_id, PENDULUM, 2, 5)
    parts = [collect(episodes, still, 10)[0] for _ in range(3)]
    for one, pieces in zip(whole, zip(*parts, strict=True), strict=True):
        assert torch.equal(one, torch.cat(pieces))


def test_a_truncated_step_is_bootstrapped_with_its_last_observation_and_a_terminated_one_is_not():
    rollout, _ = collect(Episodes(by_id, COUNTING, 2, 5), lambda seen: np.zeros(2, np.int64), 9)
    flat = rollout.flat()
    # the value of a state is where its episode started, which a state after the reset would not have
    target = td_target(flat.reward, flat.terminated, flat.next[:, 0], discount=0.5).reshape(9, 2)
    start = rollout.observation[:, :, 0]
    for step in range(9):
        # steps 3, 6, 9 end an episode: truncated, terminated, both
        is_last = step in (5, 8)
        expected = rollout.reward[step] + (0 if is_last else 0.5 * start[step])
        assert torch.equal(target[step], expected)
    assert rollout.truncated[:, 0].nonzero().flatten().tolist() == [2]
    assert rollout.terminated[:, 0].nonzero().flatten().tolist() == [5, 8]
    assert rollout.ended[:, 0].nonzero().flatten().tolist() == [2, 5, 8]
    assert len(start[:, 0].unique()) == 3

from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from millstream.tracking.errors import WrongRecipe
from millstream.tracking.seeds import key
from millstream.training.environments import gymnasium as by_id
from millstream.training.rl.episodes import Episodes
from tests.training.rl.made import COUNTING, PENDULUM

LEFT = np.zeros(2, np.int64)


def steps(episodes, action_N, count):
    return [(episodes.observation_N, *episodes.step(action_N)) for _ in range(count)]


def test_no_transition_is_made_up_where_an_episode_ends():
    taken = steps(Episodes(by_id, COUNTING, 2, seed=1), LEFT, 20)
    for observation_N, step, _ in taken:
        # a transition stays in its episode and counts one step on; its reward is that of the environment
        np.testing.assert_array_equal(step.next_N[:, 0], observation_N[:, 0])
        np.testing.assert_array_equal(step.next_N[:, 1], observation_N[:, 1] + 1)
        np.testing.assert_array_equal(step.reward_N, step.next_N[:, 1])
    for at, (_, step, returns) in enumerate(taken):
        over = at % 3 == 2
        assert returns == ([6.0, 6.0] if over else [])  # 1 + 2 + 3
        kind = ("truncated", "terminated", "terminated")[at // 3 % 3]
        assert step.terminated_N.tolist() == [over and kind == "terminated"] * 2
        assert step.truncated_N.tolist() == [over and kind == "truncated"] * 2


def test_environments_have_seeds_of_their_own_and_the_first_that_of_a_lone_one():
    one, four = Episodes(by_id, PENDULUM, 1, seed=3), Episodes(by_id, PENDULUM, 4, seed=3)
    np.testing.assert_array_equal(one.observation_N[0], four.observation_N[0])
    assert len(np.unique(four.observation_N, axis=0)) == 4


@pytest.mark.fault
def test_episodes_continue_from_their_state_where_the_environments_show_it():
    action_N = np.full((3, 1), 0.7, np.float32)
    whole = Episodes(by_id, PENDULUM, 3, seed=3)
    steps(whole, action_N, 150)
    again = Episodes(by_id, PENDULUM, 3, seed=3)
    again.load_state_dict(whole.state_dict(), step=450)
    for (seen, one, returns), (other_seen, other, other_returns) in zip(
        steps(whole, action_N, 300), steps(again, action_N, 300), strict=True
    ):
        np.testing.assert_array_equal(seen, other_seen)
        for field, other_field in zip(one, other, strict=True):
            np.testing.assert_array_equal(field, other_field)
        assert returns == other_returns


@pytest.mark.fault
def test_a_hidden_state_begins_a_new_episode_with_a_seed_of_its_own():
    broken = Episodes(by_id, COUNTING, 2, seed=3)
    steps(broken, LEFT, 4)  # inside the second episode
    state = broken.state_dict()
    assert state["states"] == [None, None]
    again = Episodes(by_id, COUNTING, 2, seed=3)
    again.load_state_dict(state, step=8)
    for at in range(2):
        start = gymnasium.make("Counting-v0").reset(seed=key(3, "resumed", 8, at) % (1 << 32))[0]
        np.testing.assert_array_equal(again.observation_N[at], start)
        assert start[0] != broken.observation_N[at, 0]
    # the broken episode adds nothing to the return of the new one
    assert [returns for _, _, returns in steps(again, LEFT, 3)] == [[], [], [6.0, 6.0]]


def test_of_environments_side_by_side_those_that_show_their_state_continue():
    half = SimpleNamespace(**vars(by_id))
    whole = Episodes(by_id, PENDULUM, 2, seed=3)
    hidden = whole.vector.envs[1]
    half.state = lambda env: None if env is hidden else by_id.state(env)
    whole.environment = half
    action_N = np.zeros((2, 1), np.float32)
    steps(whole, action_N, 5)
    again = Episodes(by_id, PENDULUM, 2, seed=3)
    again.load_state_dict(whole.state_dict(), step=10)
    (_, one, _), (_, other, _) = steps(whole, action_N, 1)[0], steps(again, action_N, 1)[0]
    np.testing.assert_array_equal(one.next_N[0], other.next_N[0])
    assert not np.array_equal(one.next_N[1], other.next_N[1])
    assert again.return_N[0] == whole.return_N[0]
    assert again.return_N[1] == other.reward_N[1]


def test_an_action_outside_the_bounds_is_taken_at_the_bound():
    far, bound = Episodes(by_id, PENDULUM, 1, seed=3), Episodes(by_id, PENDULUM, 1, seed=3)
    one, _ = far.step(np.array([[9.0]], np.float32))
    other, _ = bound.step(np.array([[2.0]], np.float32))
    np.testing.assert_array_equal(one.next_N, other.next_N)


def other_vector(mode, reset):
    """Environments by id, in vectors of another kind."""

    def make_vector(config, count):
        options = {"vectorization_mode": mode, "vector_kwargs": {"autoreset_mode": reset}}
        return gymnasium.make_vec(config.id, num_envs=count, **options)

    return SimpleNamespace(**{**vars(by_id), "make_vector": make_vector})


@pytest.mark.fault
def test_environments_in_processes_of_their_own_take_the_same_steps_and_begin_again():
    here = Episodes(by_id, COUNTING, 2, seed=3)
    there = Episodes(other_vector("async", AutoresetMode.SAME_STEP), COUNTING, 2, seed=3)
    try:
        for (seen, one, returns), (other_seen, other, other_returns) in zip(
            steps(here, LEFT, 20), steps(there, LEFT, 20), strict=True
        ):
            np.testing.assert_array_equal(seen, other_seen)
            for field, other_field in zip(one, other, strict=True):
                np.testing.assert_array_equal(field, other_field)
            assert returns == other_returns
        here.load_state_dict(here.state_dict(), step=40)
        there.load_state_dict(there.state_dict(), step=40)
        np.testing.assert_array_equal(here.observation_N, there.observation_N)
    finally:
        there.close()


@pytest.mark.bad_input
def test_a_vector_that_resets_at_the_next_step_is_refused():
    with pytest.raises(WrongRecipe, match=r"environment: its vector resets by .*NEXT_STEP.*SAME_STEP is needed"):
        Episodes(other_vector("sync", AutoresetMode.NEXT_STEP), COUNTING, 2, seed=1)

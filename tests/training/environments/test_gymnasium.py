import numpy as np
import pytest
from pydantic import ValidationError

from millstream.tracking.errors import BadData
from millstream.training.environments import gymnasium
from millstream.training.environments.gymnasium import Config

CARTPOLE = Config(id="CartPole-v1")


def test_the_signature_says_what_is_seen_and_done():
    signature = gymnasium.signature(CARTPOLE)
    (numbers,) = signature.inputs
    names = [column.name for column in numbers.columns]
    assert names == ["cart_position", "cart_velocity", "pole_angle", "pole_speed"]
    assert signature.classes == ("left", "right")


@pytest.mark.parametrize("name", ["CartPole-v1", "Acrobot-v1"])
def test_an_episode_goes_on_from_its_state(name):
    config = Config(id=name)
    first, second = gymnasium.make(config), gymnasium.make(config)
    first.reset(seed=4)
    for step in range(7):
        first.step(step % 2)
    gymnasium.restore(second, gymnasium.state(first))
    for step in range(600):
        one, other = (env.step(step % 2) for env in (first, second))
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1:4] == other[1:4]
        if one[2] or one[3]:
            seen, again = first.reset()[0], second.reset()[0]
            np.testing.assert_array_equal(seen, again)


@pytest.mark.bad_input
def test_an_unknown_environment_gets_the_nearest_name():
    with pytest.raises(ValidationError, match="did you mean 'CartPole-v1'"):
        Config(id="CartPole-v11")


@pytest.mark.security
def test_a_name_imports_no_module():
    with pytest.raises(ValidationError, match="no such environment"):
        Config(id="os:CartPole-v1")


@pytest.mark.bad_input
def test_spaces_that_are_not_read_are_refused():
    with pytest.raises(BadData, match="a vector and a choice are read"):
        gymnasium.signature(Config(id="Pendulum-v1"))


def test_a_cart_is_drawn_where_it_stands():
    left, right = (gymnasium.draw(CARTPOLE, np.array([x, 0, 0, 0], np.float32)) for x in (-1.5, 1.5))
    blue = [
        (picture[:, :, 2].astype(int) - picture[:, :, 0] > 60).any(axis=0).nonzero()[0].mean()
        for picture in (left, right)
    ]
    assert blue[0] < left.shape[1] / 2 < blue[1]

import gymnasium as library
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from pydantic import ValidationError

from millstream.tracking.errors import WrongRecipe
from millstream.training.environments import gymnasium
from millstream.training.environments.gymnasium import Config

CARTPOLE = Config(id="CartPole-v1")


class Spaces(library.Env):
    """Any spaces; each observation is a sample."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        return self.observation_space.sample(), 0.0, False, False, {}


def config_of(name, observation_space, action_space):
    spaces = {"observation_space": observation_space, "action_space": action_space}
    library.register(f"{name}-v0", Spaces, kwargs=spaces, disable_env_checker=True)
    return Config(id=f"{name}-v0")


def test_the_signature_has_what_is_observed_and_done():
    signature = gymnasium.signature(CARTPOLE)
    (numbers,) = signature.inputs
    names = [column.name for column in numbers.columns]
    assert names == ["cart_position", "cart_velocity", "pole_angle", "pole_speed"]
    assert signature.classes == ("left", "right")


OBSERVED = {
    "Vector": (Box(-1, 1, (5,)), ("number", (5,), "float32")),
    "Number": (Box(-1, 1, ()), ("number", (1,), "float32")),
    "Grid": (Box(0, 9, (4, 5), np.int16), ("vector", (4, 5), "float32")),
    "ChannelsLast": (Box(0, 255, (6, 8, 3), np.uint8), ("image", (3, 6, 8), "float32")),
    "Stacked": (Box(0, 255, (4, 6, 8), np.uint8), ("image", (4, 6, 8), "float32")),
    "Place": (Discrete(7, start=2), ("category", (1,), "int64")),
}
ACTED = {
    "Choice": (Discrete(3, start=5), [("action", (), 3)]),
    "Choices": (MultiDiscrete([2, 4]), [("action_0", (), 2), ("action_1", (), 4)]),
    "Forces": (Box(-2, 2, (2,)), [("action", (2,), 0)]),
}


@pytest.mark.parametrize("acted", ACTED)
@pytest.mark.parametrize("observed", OBSERVED)
def test_any_box_or_choice_is_observed_and_done_as_the_signature_declares(observed, acted):
    (seen, field), (does, targets) = OBSERVED[observed], ACTED[acted]
    config = config_of(f"{observed}{acted}", seen, does)
    signature = gymnasium.signature(config)
    (one,) = signature.inputs
    assert (one.meaning, one.shape, one.dtype) == field
    assert [(t.name, t.shape, len(t.columns[0].classes or ())) for t in signature.targets] == targets
    single, vector = gymnasium.make(config), gymnasium.make_vector(config, 3)
    assert np.prod(single.observation_space.shape) == np.prod(one.shape)
    for env, rows in ((single, 1), (vector, 3)):
        observation, _ = env.reset(seed=1)
        assert np.size(observation) == rows * np.prod(one.shape)
        if one.meaning == "category":
            assert np.max(observation) < len(one.columns[0].classes)
        action = np.zeros(env.action_space.shape, env.action_space.dtype)
        env.step(action)  # the first of each choice is taken


@pytest.mark.parametrize(
    "name", ["CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1"]
)
def test_an_episode_continues_from_its_state(name):
    config = Config(id=name)
    first, second = gymnasium.make(config), gymnasium.make(config)
    first.reset(seed=4)
    first.action_space.seed(1)
    for _ in range(7):
        first.step(first.action_space.sample())
    gymnasium.restore(second, gymnasium.state(first))
    for _ in range(600):
        action = first.action_space.sample()
        one, other = (env.step(action) for env in (first, second))
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1:4] == other[1:4]
        if one[2] or one[3]:
            seen, again = first.reset()[0], second.reset()[0]
            np.testing.assert_array_equal(seen, again)


def test_a_state_that_is_not_all_there_is_none():
    env = gymnasium.make(config_of("Hidden", Box(-1, 1, (2,)), Discrete(2)))
    env.reset(seed=1)
    env.unwrapped.state = np.zeros(2)  # nothing guarantees that this is all of it
    assert gymnasium.state(env) is None


def test_its_rules_are_named_with_their_version():
    assert gymnasium.identity(CARTPOLE) == {"environment id": "CartPole-v1", "gymnasium": library.__version__}


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
    with pytest.raises(WrongRecipe, match=r"observes Tuple.* and acts in Discrete\(2\); observations are to be Box or"):
        gymnasium.signature(Config(id="Blackjack-v1"))
    several = config_of("Several", Box(-1, 1, (2,)), Dict({"a": Discrete(2)}))
    with pytest.raises(WrongRecipe, match=r"acts in Dict.*; .*actions Discrete, MultiDiscrete or Box"):
        gymnasium.signature(several)


def test_a_cart_is_drawn_where_it_stands():
    left, right = (gymnasium.draw(CARTPOLE, np.array([x, 0, 0, 0], np.float32)) for x in (-1.5, 1.5))
    blue = [
        (image[:, :, 2].astype(int) - image[:, :, 0] > 60).any(axis=0).nonzero()[0].mean() for image in (left, right)
    ]
    assert blue[0] < left.shape[1] / 2 < blue[1]


def test_an_image_that_is_observed_is_drawn_as_it_is():
    image = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    np.testing.assert_array_equal(gymnasium.draw(CARTPOLE.model_construct(id="any"), image), image.transpose(1, 2, 0))
    grey = gymnasium.draw(CARTPOLE.model_construct(id="any"), image[:1])
    np.testing.assert_array_equal(grey, np.stack([image[0]] * 3, axis=-1))

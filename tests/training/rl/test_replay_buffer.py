import pytest
import torch

from millstream.training.rl.replay_buffer import Replay
from millstream.training.rl.rollout import Transitions

SHAPES = {
    "numbers": ((2,), torch.float32),
    "images": ((3, 4, 4), torch.uint8),
    "a choice": ((), torch.int64),
}


def transitions(numbers, shape=(2,), dtype=torch.float32, action=((), torch.int64)):
    """Transition `at` observes `at` everywhere, then `at` + 1."""
    number_B = torch.as_tensor(numbers)

    def spread(values, shape, dtype):
        return values.reshape(-1, *[1] * len(shape)).expand(-1, *shape).to(dtype)

    return Transitions(
        spread(number_B, shape, dtype),
        spread(number_B % 3, *action),
        number_B.float(),
        spread(number_B + 1, shape, dtype),
        number_B % 4 == 0,
        number_B % 4 == 1,
    )


def filled(count, capacity=8, pieces=3, **kinds):
    memory = Replay(capacity, seed=5)
    for start in range(0, count, pieces):
        memory.extend(transitions(range(start, min(count, start + pieces)), **kinds))
    return memory


@pytest.mark.parametrize("pieces", [1, 3, 20])
@pytest.mark.parametrize("count", [1, 5, 8, 9, 21])
def test_the_last_transitions_are_kept_whole(count, pieces):
    memory = filled(count, pieces=pieces)
    assert len(memory) == min(count, 8)
    drawn = memory.draw(500, number=0)
    kept = sorted({int(one) for one in drawn.reward})
    assert kept == list(range(max(0, count - 8), count))
    for one, expected in zip(drawn, transitions(drawn.reward.long()), strict=True):
        assert torch.equal(one, expected)


@pytest.mark.parametrize("action", [((), torch.int64), ((2,), torch.int64), ((3,), torch.float32)], ids=str)
@pytest.mark.parametrize("observed", SHAPES)
def test_observations_and_actions_are_kept_as_they_are(observed, action):
    shape, dtype = SHAPES[observed]
    drawn = filled(11, shape=shape, dtype=dtype, action=action).draw(40, number=0)
    expected = transitions(drawn.reward.long(), shape=shape, dtype=dtype, action=action)
    for one, other in zip(drawn, expected, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def test_a_draw_follows_from_seed_and_number():
    memory = filled(8)
    first, again, other = (memory.draw(20, number=number).reward for number in (3, 3, 4))
    assert first.equal(again)
    assert not first.equal(other)


@pytest.mark.parametrize("count", [0, 5, 11])
def test_a_memory_comes_back_from_its_state(count):
    memory, other = filled(count), Replay(8, seed=5)
    other.load_state_dict(memory.state_dict())
    for one in (memory, other):
        one.extend(transitions([99]))
    assert len(memory) == len(other)
    assert memory.draw(50, number=1).reward.equal(other.draw(50, number=1).reward)


@pytest.mark.bad_input
def test_nothing_is_drawn_from_an_empty_memory():
    with pytest.raises(ValueError, match="no transition is kept yet"):
        Replay(8, seed=5).draw(1, number=0)

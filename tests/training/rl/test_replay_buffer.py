import numpy as np
import pytest

from millstream.training.rl.replay_buffer import Replay


def filled(count, capacity=8):
    memory = Replay(capacity, 2, seed=5)
    for at in range(count):
        memory.add(np.array([at, at]), at % 3, float(at), np.array([at + 1, at + 1]), at % 4 == 0)
    return memory


@pytest.mark.parametrize("count", [1, 5, 8, 9, 21])
def test_the_last_transitions_are_kept_whole(count):
    memory = filled(count)
    assert len(memory) == min(count, 8)
    drawn = memory.draw(500, number=0)
    kept = set(range(max(0, count - 8), count))
    assert set(drawn.reward_B.int().tolist()) == kept
    for seen, action, reward, after, ended in zip(*drawn, strict=True):
        at = int(reward)
        assert (seen.tolist(), int(action), after.tolist(), bool(ended)) == (
            [at] * 2,
            at % 3,
            [at + 1] * 2,
            at % 4 == 0,
        )


def test_a_draw_follows_from_seed_and_number():
    memory = filled(8)
    first, again, other = (memory.draw(20, number=number).reward_B for number in (3, 3, 4))
    assert first.equal(again)
    assert not first.equal(other)


def test_a_memory_comes_back_from_its_state():
    memory, other = filled(11), Replay(8, 2, seed=5)
    other.load_state_dict(memory.state_dict())
    memory.add(np.zeros(2), 0, 99.0, np.zeros(2), False)
    other.add(np.zeros(2), 0, 99.0, np.zeros(2), False)
    assert memory.draw(50, number=1).reward_B.equal(other.draw(50, number=1).reward_B)

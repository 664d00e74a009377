from millstream.training.rl.rounds import Rounds


def test_rounds_continue_from_their_place_and_begin_again():
    first = Rounds(5)
    taken = iter(first)
    assert [next(taken), next(taken)] == [0, 1]
    again = Rounds(5)
    again.load_state_dict(first.state_dict())
    assert list(again) == [2, 3, 4]
    assert list(again) == [0, 1, 2, 3, 4]

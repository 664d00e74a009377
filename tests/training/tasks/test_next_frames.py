import numpy as np
import pytest
import torch
from scipy.stats import bernoulli

from millstream.tracking.errors import BadData, WrongRecipe
from millstream.training.config.fit import Fit
from millstream.training.networks.rnn import recurrent
from millstream.training.tasks.next_frames import Config, NextFrames
from tests.training.signatures import number, series, signature
from tests.training.tasks.made import batch, measured

STEPS, KEYS = 6, 3
HELD = signature(series("roll", STEPS, KEYS), number("steps", "target"))
LENGTHS = torch.tensor([6, 3, 1, 5])


def task(held=HELD, **config):
    torch.manual_seed(0)
    seen = NextFrames.network_signature(Config(), held)
    network = recurrent.build(recurrent.Config(hidden=5, **config), seen)
    return NextFrames(Config(lengths="steps"), network, held, Fit())


def rows(padding=0.0, real=None):
    draw = torch.Generator().manual_seed(0)
    roll = (torch.rand(len(LENGTHS), STEPS, KEYS, generator=draw) < 0.4).float()
    is_inside = torch.arange(STEPS) < LENGTHS[:, None]
    return batch(torch.where(is_inside[:, :, None], roll, padding), target=LENGTHS, real=real)


def by_hand(found, given, real):
    """Per-frame likelihoods with scipy, one row and one frame at a time."""
    nll, shared, either, frames = 0.0, 0, 0, 0
    for row in range(real):
        for at in range(1, int(LENGTHS[row])):
            scores, _ = found.network.each_step(given.arguments[0][row : row + 1, :at])
            probability = torch.sigmoid(scores[0, -1]).detach().double().numpy()
            true = given.arguments[0][row, at].numpy()
            nll -= bernoulli(probability).logpmf(true).sum()
            shared += ((probability > 0.5) & (true > 0)).sum()
            either += ((probability > 0.5) | (true > 0)).sum()
            frames += 1
    return nll / frames, shared / either


def test_the_likelihood_is_that_of_each_frame_given_those_before_it():
    found, given = task(), rows(real=3)
    nll, accuracy = by_hand(found.eval(), given, 3)
    expected = {"test/loss": nll, "test/nll": nll, "test/frame_accuracy": accuracy}
    assert measured(found, given) == pytest.approx(expected, rel=1e-5)


def test_what_lies_after_a_row_changes_nothing():
    assert measured(task(), rows(padding=1.0)) == measured(task(), rows(padding=0.0))


def test_the_next_frame_is_predicted_from_the_last_frame_that_is_not_empty():
    found, given = task().eval(), rows()
    frames = given.arguments[0]
    for row, predicted in enumerate(found.predict(frames)["next"]):
        played = np.flatnonzero(frames[row].any(dim=1).numpy())
        length = int(played[-1]) + 1 if len(played) else 1
        scores, _ = found.network.each_step(frames[row : row + 1, :length])
        np.testing.assert_allclose(predicted, torch.sigmoid(scores[0, -1]).detach(), rtol=1e-5)


def test_generated_frames_depend_on_the_seed_and_are_as_likely_as_the_network_predicts():
    found = task().eval()
    with torch.no_grad():
        found.network.head.weight.zero_()
        found.network.head.bias.copy_(torch.tensor([-9.0, 0.0, 9.0]))
    frames = np.stack(found.generate(400, seed=1)["frames"]).reshape(400, STEPS, KEYS)
    assert np.isin(frames, (0, 1)).all()
    np.testing.assert_allclose(frames.mean(axis=(0, 1)), [0, 0.5, 1], atol=0.05)
    assert np.array_equal(frames[:5].reshape(5, -1), np.stack(found.generate(400, seed=1)["frames"])[:5])
    assert not np.array_equal(frames[:5].reshape(5, -1), np.stack(found.generate(400, seed=2)["frames"])[:5])


def test_figures_show_what_was_played_predicted_and_generated():
    found = task()
    measured(found, rows())
    assert set(found.figures()) == {"piano_roll"}


@pytest.mark.bad_input
def test_a_network_that_sees_the_future_and_data_that_are_no_series_are_refused():
    with pytest.raises(WrongRecipe, match="reads both ways"):
        task(both_ways=True)
    with pytest.raises(BadData, match="takes one input that is series"):
        task(held=signature(number("a"), number("steps", "target")))

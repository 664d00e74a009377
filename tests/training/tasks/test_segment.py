import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from torch import nn

from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from millstream.training.config.fit import Fit
from millstream.training.tasks.segment import Config, Segment, soft_dice
from tests.training.signatures import image, number, signature
from tests.training.tasks.made import batch, measured


class Same(nn.Module):
    def forward(self, x):
        return x


def mask(*shape):
    return Column(name="mask", dtype="uint8", layout="tensor", shape=shape, axes="CHW", role="target", meaning="mask")


def task(**config):
    return Segment(Config(target="mask", **config), Same(), signature(image(1, 6, 5), mask(1, 6, 5)), Fit())


def drawn(rows=8):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(rows, 1, 6, 5, generator=generator)
    # masks of many things number them: 0, 1 or 2
    return scores, torch.randint(0, 3, (rows, 1, 6, 5), generator=generator)  # whole numbers, as the feed yields them


def test_metrics_are_over_all_pixels_of_the_real_rows():
    scores, true = drawn()
    found = measured(task(), batch(scores, target=true, real=6))
    predicted, wanted = (scores[:6] > 0).numpy().ravel(), (true[:6] > 0).numpy().ravel()
    assert found["test/iou"] == pytest.approx(oracle.jaccard_score(wanted, predicted), rel=1e-5)
    assert found["test/dice"] == pytest.approx(oracle.f1_score(wanted, predicted), rel=1e-5)
    assert found["test/accuracy"] == pytest.approx(oracle.accuracy_score(wanted, predicted), rel=1e-5)


def test_the_loss_is_cross_entropy_and_one_less_dice():
    scores, true = drawn()
    probabilities, wanted = torch.sigmoid(scores).double().numpy(), (true > 0).double().numpy()
    bce = -(3 * wanted * np.log(probabilities) + (1 - wanted) * np.log1p(-probabilities)).mean(axis=(1, 2, 3))
    both, sizes = ((probabilities * wanted).sum(axis=(1, 2, 3)), (probabilities + wanted).sum(axis=(1, 2, 3)))
    dice = 1 - (2 * both + 1) / (sizes + 1)
    for loss, expected in (("bce", bce), ("dice", dice), ("bce-dice", bce + dice)):
        found, _ = task(loss=loss, positive=3.0).rows(batch(scores, target=true))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_an_empty_mask_predicted_empty_and_a_whole_one_predicted_whole_have_a_dice_of_one():
    for value in (0.0, 1.0):
        same = torch.full((2, 1, 4, 4), value)
        torch.testing.assert_close(soft_dice(same, same), torch.ones(2))


def test_predictions_are_probabilities_and_the_share_of_pixels():
    scores, _ = drawn(2)
    found = task().predict(scores)
    np.testing.assert_allclose(found["probabilities"][1], torch.sigmoid(scores[1]).ravel(), atol=1e-6)
    np.testing.assert_allclose(found["share"], (scores > 0).double().mean(dim=(1, 2, 3)))


def test_the_first_test_images_are_drawn_with_both_masks():
    scores, true = drawn(20)
    made = task()
    measured(made, batch(scores.sigmoid(), target=true, real=9), batch(scores.sigmoid(), target=true))
    (figure,) = made.figures().values()
    assert sum(bool(axes.images) for axes in figure.axes) == 12
    assert sum(len(axes.collections) for axes in figure.axes) >= 12


def test_tiles_are_learned_from_with_their_masks_and_whole_images_are_predicted():
    images = torch.rand(4, 1, 6, 5)
    made = task(tile=4, margin=1)
    made.train()
    seen = []
    made.network.register_forward_hook(lambda layer, given, found: seen.append(given[0]))
    made.rows(batch(images, target=(images > 0.5).long()))
    (tiles,) = seen
    assert tiles.shape == (4, 1, 4, 4)
    windows = images.unfold(2, 4, 1).unfold(3, 4, 1).reshape(4, -1, 4, 4)
    assert all((windows[row] == tiles[row]).flatten(1).all(1).any() for row in range(4))
    made.eval()
    _, scores = made.rows(batch(images, target=(images > 0.5).long()))
    torch.testing.assert_close(scores, images)
    assert all(one.shape[-2:] == (4, 4) for one in seen)
    np.testing.assert_allclose(made.predict(images)["probabilities"][1], torch.sigmoid(images[1]).ravel(), atol=1e-6)


def test_a_network_of_tiles_is_made_for_their_size():
    described = Segment.network_signature(
        Config(target="mask", tile=4, margin=1), signature(image(3, 6, 5), mask(1, 6, 5))
    )
    assert described.single("image").shape == (3, 4, 4)


@pytest.mark.bad_input
def test_tiles_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="leave nothing of a tile of 8"):
        Config(target="mask", tile=8, margin=4)
    with pytest.raises(BadData, match=r"tiles of 8 in images of \(6, 5\)"):
        task(tile=8, margin=1)


@pytest.mark.bad_input
def test_a_target_that_is_no_mask_is_refused():
    with pytest.raises(BadData, match=r"target 'mask' is number of shape"):
        Segment(Config(target="mask"), Same(), signature(image(1, 6, 5), number("y", role="target")), Fit())

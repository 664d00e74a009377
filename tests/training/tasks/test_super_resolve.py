import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn
from torchmetrics.functional.image import peak_signal_noise_ratio

from millstream.tracking.dataset.records import Affine
from millstream.tracking.errors import BadData
from millstream.training.assembly.dry_run import rehearse
from millstream.training.config.fit import Fit
from millstream.training.layers.enlarge import enlarged
from millstream.training.layers.image_tiles import cut
from millstream.training.networks.cnn.espcn import ESPCN
from millstream.training.networks.cnn.espcn import Config as EspcnConfig
from millstream.training.tasks.super_resolve import Config, SuperResolve, luma, pattern, psnr_y, ssim_y, turned
from tests.training.networks.cnn.enlarging import pair
from tests.training.signatures import image, number, signature
from tests.training.tasks.made import batch, measured

SIZES = [(8, 6), (7, 6), (8, 5)]
"""Coarse ones, in frames of 8 x 6."""


class Nearest(nn.Module):
    def forward(self, x):
        return x.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3)


def task(channels=1, network=None, **config):
    return SuperResolve(Config(target="image", **config), network or Nearest(), pair(channels, 8, 6), Fit())


def framed(sizes=SIZES, channels=1, *, real=None):
    """Images of these sizes in the corners of their frames, beside which stands what must not count."""
    draws = torch.Generator().manual_seed(0)
    coarse = torch.rand(len(sizes), channels, 8, 6, generator=draws)
    fine = torch.rand(len(sizes), channels + 1, 24, 18, generator=draws)
    fine[:, -1] = 0
    for one, (height, width) in zip(fine, sizes, strict=True):
        one[-1, : 3 * height, : 3 * width] = 1
    return batch(coarse, target=fine, real=real)


def alone(made, at, height, width):
    return made.arguments[0][at, :, :height, :width], made.truth[at, :-1, : 3 * height, : 3 * width]


@pytest.mark.parametrize("channels", [1, 3])
def test_metrics_are_the_means_over_whole_real_images_of_their_own_size(channels):
    made = framed(channels=channels, real=2)
    found = measured(task(channels), made)
    pairs = [alone(made, at, *SIZES[at]) for at in range(2)]
    for prefix, enlarge in (("", Nearest()), ("bicubic_", lambda x: enlarged(x, 3))):
        pairs_of_fine = [(enlarge(coarse[None])[0], fine) for coarse, fine in pairs]
        expected = [
            peak_signal_noise_ratio(luma(one)[3:-3, 3:-3], luma(true)[3:-3, 3:-3], data_range=255.0)
            for one, true in pairs_of_fine
        ]
        assert found[f"test/{prefix}psnr_y"] == pytest.approx(np.mean(expected), rel=1e-5)
        assert found[f"test/{prefix}ssim"] == pytest.approx(
            np.mean([ssim_y(*one, 3) for one in pairs_of_fine]), rel=1e-5
        )
    losses = [float((Nearest()(coarse[None])[0] - fine).square().mean()) for coarse, fine in pairs]
    assert found["test/loss"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_an_image_smaller_than_the_window_has_no_part_in_ssim():
    two, three = measured(task(), framed(real=2)), measured(task(), framed())
    assert three["test/ssim"] == two["test/ssim"]
    assert three["test/psnr_y"] != two["test/psnr_y"]


def test_a_batch_without_an_image_counts_nothing():
    # a rank's part of the last batch may be empty
    assert measured(task(), framed(real=2), framed(real=0)) == measured(task(), framed(real=2))


def test_the_dry_run_before_training_accepts_it():
    # its rows have to hold an image: one of zeros is all padding, and nothing can be upsampled from it
    rehearse(task(network=ESPCN(EspcnConfig(residual=True), 1, 3)))


def test_luma_is_that_of_the_recommendation():
    colours = {(0, 0, 0): 16, (1, 1, 1): 235, (1, 0, 0): 81, (0, 1, 0): 145, (0, 0, 1): 41}
    for colour, expected in colours.items():
        assert luma(torch.tensor(colour).float()[:, None, None]).item() == expected
    # a grey image is one of three equal colours, and what lies beyond black or white cannot be shown
    torch.testing.assert_close(luma(torch.full((1, 2, 2), 0.3)), luma(torch.full((3, 2, 2), 0.3)))
    assert luma(torch.tensor([[[-1.0, 2.0]]])).tolist() == [[16, 235]]


def test_psnr_has_its_closed_form_and_no_border():
    true = torch.full((1, 12, 12), 100 / 255)
    predicted = true + 10 / 219
    predicted[:, 0] = 1
    assert float(psnr_y(predicted, true, 1)) == pytest.approx(20 * math.log10(255 / 10))


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_pattern_is_what_all_coarse_pixels_are_off_by_alike(factor):
    true = torch.full((1, 8 * factor, 9 * factor), 0.5)
    board = torch.zeros_like(true)
    board[:, ::factor, ::factor] = 1  # one place of each coarse pixel
    levels = 20
    predicted = true + levels / 219 * board
    share = 1 / factor**2
    assert float(pattern(predicted, true, factor)) == pytest.approx(levels * math.sqrt(share * (1 - share)))
    brighter = true + levels / 219
    assert float(pattern(brighter, true, factor)) == 0
    noisy = true + levels / 219 * torch.randn(true.shape, generator=torch.Generator().manual_seed(0))
    assert float(pattern(noisy, true, factor)) < levels / 2  # errors that know nothing of the coarse pixels cancel out


def test_ssim_is_the_papers_formula():
    draws = np.random.default_rng(0)
    true = gaussian_filter(draws.random((1, 40, 30)), (0, 2, 2))
    predicted = np.clip(true + 0.05 * draws.random(true.shape), 0, 1)
    a, b = (luma(torch.from_numpy(one)).numpy()[2:-2, 2:-2] for one in (predicted, true))
    # Wang et al. 2004, equation 13; 11 pixels of deviation 1.5 are 5 on either side of the middle
    mean = {
        k: gaussian_filter(v, 1.5, radius=5) for k, v in {"a": a, "b": b, "aa": a * a, "bb": b * b, "ab": a * b}.items()
    }
    var_a, var_b, both = mean["aa"] - mean["a"] ** 2, mean["bb"] - mean["b"] ** 2, mean["ab"] - mean["a"] * mean["b"]
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    maps = (2 * mean["a"] * mean["b"] + c1) * (2 * both + c2)
    maps /= (mean["a"] ** 2 + mean["b"] ** 2 + c1) * (var_a + var_b + c2)
    found = ssim_y(torch.from_numpy(predicted), torch.from_numpy(true), 2)
    assert float(found) == pytest.approx(maps[5:-5, 5:-5].mean(), abs=1e-6)


def test_patches_lie_within_their_images_and_fit_each_other():
    made = framed(sizes=[(8, 6), (5, 5), (4, 6)])
    whole = Nearest()(torch.arange(48.0).reshape(1, 1, 8, 6)).expand(3, 1, -1, -1)
    numbered = batch(
        torch.arange(48.0).reshape(1, 1, 8, 6).expand(3, 1, -1, -1),
        target=torch.cat([whole, made.truth[:, -1:]], dim=1),
    )
    torch.manual_seed(0)
    coarse, fine = task(patch=4, patches=200).patches(numbered)
    assert coarse.shape == (600, 1, 4, 4)
    torch.testing.assert_close(Nearest()(coarse), fine[:, :1])
    assert (fine[:, 1] == 1).all()
    # each place is drawn: 5 x 3, 2 x 2 and 1 x 3 of them
    places = [len({tuple(one.flatten().tolist()) for one in rows}) for rows in coarse.chunk(3)]
    assert places == [15, 4, 3]


def test_what_lies_beside_an_image_smaller_than_a_patch_has_no_part_in_the_loss():
    made = framed(sizes=[(2, 3)])
    coarse, fine = alone(made, 0, 2, 3)
    for loss, expected in (
        ("mse", (Nearest()(coarse[None]) - fine).square()),
        ("l1", (Nearest()(coarse[None]) - fine).abs()),
    ):
        found, _ = task(patch=5, loss=loss, turn=False).train().rows(made)
        assert found.tolist() == pytest.approx([float(expected.mean())], rel=1e-5)


def test_all_eight_ways_to_turn_a_patch_come_and_both_patches_turn_alike():
    coarse = torch.arange(4.0).reshape(1, 1, 2, 2)
    torch.manual_seed(0)
    pairs = [turned(coarse, Nearest()(coarse)) for _ in range(100)]
    assert len({tuple(one.flatten().tolist()) for one, _ in pairs}) == 8
    assert all(torch.equal(Nearest()(one), other) for one, other in pairs)


def test_a_cut_is_a_slice():
    maps = torch.rand(2, 3, 7, 9)
    found = cut(maps, torch.tensor([[[0, 3], [1, 2]], [[5, 0], [2, 4]]]), 4)
    wanted = [maps[0, :, 0:4, 5:9], maps[0, :, 3:7, 0:4], maps[1, :, 1:5, 2:6], maps[1, :, 2:6, 4:8]]
    assert torch.equal(found, torch.stack(wanted))


def test_predictions_are_fine_images_of_bytes():
    coarse = torch.tensor([[-0.2, 0.5], [0.1, 1.4]])[None, None]
    (found,) = task().predict(coarse)["fine"]
    np.testing.assert_allclose(found.reshape(6, 6)[::3, ::3], [[0, 127.5], [25.5, 255]], rtol=1e-6)


def test_the_first_test_images_are_drawn_with_their_decibels():
    made, two = task(), framed()
    found = measured(made, two, two)
    (figure,) = made.figures().values()
    titles = [axes.get_title() for axes in figure.axes]
    assert len(titles) == 5 * 3
    assert titles[2::3] == ["true"] * 5
    shown = [float(title.split()[1]) for title in titles[1:9:3]]
    assert np.mean(shown) == pytest.approx(found["test/psnr_y"], abs=0.01)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (pair(1, 8, 6, affine=None), r"\['coarse', 'image'\].*`scale` by `unit`"),
        (pair(1, 8, 6, affine=Affine(factor=1 / 16)), r"`scale` by `unit`"),
        (pair(1, 8, 6, fine=(1, 24, 18)), r"image: expected images from `coarsen`"),
        (signature(image(1, 8, 6), number("y", role="target")), "no target that is an image"),
    ],
)
def test_images_of_another_make_are_refused(facts, message):
    with pytest.raises(BadData, match=message):
        SuperResolve(Config(target="image"), Nearest(), facts, Fit())

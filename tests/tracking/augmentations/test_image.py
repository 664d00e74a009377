import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import signal

from millstream.tracking.augmentations.image import (
    CHANGES,
    NEAREST,
    blur,
    brightness,
    crop,
    cutout,
    draw_rotate,
    draw_shift,
    elastic,
    flip,
    noise,
    rotate,
    scale,
    shift,
)
from millstream.tracking.augmentations.op import drawn, generator_of, through

IMAGE = np.random.default_rng(0).integers(0, 256, (2, 9, 9), dtype=np.uint8)
SMOOTH = np.add.outer(np.arange(32.0), 3 * np.arange(32.0))[None]


@given(down=st.integers(-12, 12), right=st.integers(-12, 12))
def test_a_shift_moves_each_pixel_and_lets_zeros_in(down, right):
    moved = shift(IMAGE, {"down": down, "right": right})
    for row, column in np.ndindex(9, 9):
        inside = 0 <= row - down < 9 and 0 <= column - right < 9
        expected = IMAGE[:, row - down, column - right] if inside else 0
        assert np.all(moved[:, row, column] == expected)


@pytest.mark.parametrize("quarters", [-1, 0, 1, 2])
def test_quarter_turns_are_those_of_numpy(quarters):
    turned = rotate(IMAGE, {"degrees": 90.0 * quarters})
    expected = np.rot90(IMAGE, quarters, axes=(1, 2))
    np.testing.assert_allclose(turned.astype(int), expected, atol=1)  # rounded at half a grey level


def test_noise_has_its_deviation_and_is_the_same_again():
    grey = np.full((1, 100, 100), 128, np.uint8)
    parameters = {"deviation": 0.05, "seed": 3}
    assert noise(grey, parameters).std() == pytest.approx(0.05 * 255, rel=0.05)
    assert np.array_equal(noise(grey, parameters), noise(grey, parameters))
    assert noise(IMAGE, parameters).dtype == np.uint8


def test_drawn_parameters_stay_within_their_strength():
    generator = np.random.default_rng(0)
    shifts = [draw_shift(2, generator) for _ in range(200)]
    assert {one["down"] for one in shifts} == {-2, -1, 0, 1, 2}
    assert max(abs(draw_rotate(10, generator)["degrees"]) for _ in range(200)) <= 10


def test_two_flips_are_none_and_half_of_the_images_are_flipped():
    flipped = flip(IMAGE, {"flipped": True})
    assert np.array_equal(flipped, np.fliplr(IMAGE.transpose(1, 2, 0)).transpose(2, 0, 1))
    assert np.array_equal(flip(flipped, {"flipped": True}), IMAGE)
    generator = generator_of(0)
    share = np.mean([CHANGES["flip"].draw(0.3, generator)["flipped"] for _ in range(2000)])
    assert share == pytest.approx(0.3, abs=0.04)  # four standard errors


@pytest.mark.parametrize(("top", "left"), [(0, 0), (4, 8), (3, 5)])
def test_a_crop_is_a_window_of_the_padded_image(top, left):
    padded = np.pad(IMAGE, ((0, 0), (4, 4), (4, 4)))
    cropped = crop(IMAGE, {"padding": 4, "top": top, "left": left})
    assert np.array_equal(cropped, padded[:, top : top + 9, left : left + 9])


@pytest.mark.parametrize("factor", [0.75, 1.0, 1.3])
def test_a_zoom_is_that_of_pillow_inside(factor):
    zoomed = scale(SMOOTH, {"factor": factor})[0]
    # pillow maps pixel edges, output to input
    to_input = (1 / factor, 0, 16 - 16 / factor, 0, 1 / factor, 16 - 16 / factor)
    pillow = Image.fromarray(SMOOTH[0].astype(np.float32)).transform((32, 32), Image.AFFINE, to_input, Image.BILINEAR)
    inside = slice(6, 26)
    np.testing.assert_allclose(zoomed[inside, inside], np.asarray(pillow)[inside, inside], atol=1e-3)


def test_brightness_multiplies_and_stays_in_range():
    assert np.array_equal(
        brightness(IMAGE, {"factor": 1.5}), np.minimum(255, np.rint(IMAGE.astype(float) * 1.5)).astype(np.uint8)
    )


def test_a_blurred_point_is_a_gaussian_of_that_deviation():
    point = np.zeros((1, 41, 41))
    point[0, 20, 20] = 1.0
    bell = signal.windows.gaussian(41, 1.7)
    expected = np.outer(bell, bell) / np.outer(bell, bell).sum()
    np.testing.assert_allclose(blur(point, {"deviation": 1.7})[0], expected, atol=1e-5)  # scipy cuts at 4 deviations


def test_cutout_takes_a_square_and_nothing_else():
    bright = np.full((3, 20, 30), 7, np.uint8)
    cut = cutout(bright, {"side": 6, "down": 0.5, "right": 0.5})
    assert (cut == 0).sum() == 3 * 36
    assert np.all(cut[:, 7:13, 12:18] == 0)
    at_the_corner = cutout(bright, {"side": 6, "down": 0.0, "right": 0.0})
    assert (at_the_corner == 0).sum() == 3 * 9


def test_elastic_moves_pixels_as_far_as_the_closed_form():
    # the column numbers as an image show where each pixel was fetched from
    columns = np.broadcast_to(np.arange(400.0), (1, 400, 400))
    by = elastic(columns, {"alpha": 34.0, "seed": 1})[0, 20:-20, 20:-20] - columns[0, 20:-20, 20:-20]
    # uniform noise of variance 1/3 under a Gaussian filter of deviation s has variance 1 / (3 * 4 pi s^2)
    assert by.std() == pytest.approx(34 / np.sqrt(3 * 4 * np.pi * 16), rel=0.05)
    assert np.abs(np.diff(by, axis=1)).max() < 1  # smooth: no pixel overtakes another


@given(seed=st.integers(0, 1000), name=st.sampled_from(sorted(NEAREST)))
def test_masks_get_no_label_that_was_not_there(seed, name):
    mask = np.random.default_rng(seed).choice(np.array([0, 3, 200], np.uint8), (1, 12, 10))
    parameters = CHANGES[name].draw(
        min(0.9, CHANGES[name].most) if name in ("flip", "scale") else 5, generator_of(seed)
    )
    moved = NEAREST[name](mask, parameters)
    assert moved.dtype == mask.dtype
    assert set(np.unique(moved)) <= {0, 3, 200}


@given(name=st.sampled_from(sorted(CHANGES)), seed=st.integers(0, 1 << 60), dtype=st.sampled_from(["uint8", "float32"]))
def test_every_change_keeps_shape_and_dtype_and_is_the_same_again(name, seed, dtype):
    image = IMAGE.astype(dtype)
    ops = drawn(CHANGES, [(name, 0.5 if CHANGES[name].most <= 1 else 3)], seed)
    first, again = through(CHANGES, image, ops), through(CHANGES, image.copy(), ops)
    assert (first.shape, first.dtype) == (image.shape, image.dtype)
    assert np.array_equal(first, again)
    assert np.array_equal(image, IMAGE)

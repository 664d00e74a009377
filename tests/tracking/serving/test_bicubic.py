import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from millstream.tracking.serving.bicubic import resampled, resampling

SIDES = st.integers(1, 40)


def keys(x):
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


@given(before=SIDES, after=SIDES)
def test_what_is_even_stays_so_and_a_mirrored_axis_is_resampled_mirrored(before, after):
    found = resampling(before, after)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(found, found[::-1, ::-1], atol=1e-12)


@given(before=st.integers(5, 40), factor=st.integers(2, 5))
def test_a_straight_slope_stays_straight_inside(before, factor):
    found = resampling(before, before * factor) @ np.arange(before)
    expected = (np.arange(before * factor) + 0.5) / factor - 0.5
    np.testing.assert_allclose(found[2 * factor : -2 * factor], expected[2 * factor : -2 * factor], atol=1e-10)


def test_a_pixel_is_the_sum_of_the_definition():
    # twice smaller: the kernel reaches over 8 pixels, around the middle between pixels 8 and 9
    weights = np.array([keys((x - 8.5) / 2) for x in range(20)])
    np.testing.assert_allclose(resampling(20, 10)[4], weights / weights.sum(), atol=1e-12)
    # three times larger: fine pixel 10 lies at 10.5 / 3 - 0.5 = 3
    np.testing.assert_allclose(resampling(9, 27)[10], np.eye(9)[3], atol=1e-12)
    np.testing.assert_allclose(resampling(9, 27)[11], [keys(x - 10 / 3) for x in range(9)], atol=1e-12)


@pytest.mark.parametrize("size", [(8, 5), (12, 10), (48, 40)])
def test_pillow_computes_the_same_away_from_the_border(size):
    image = np.random.default_rng(0).random((1, 24, 20)).astype(np.float32)
    oracle = np.asarray(Image.fromarray(image[0]).resize(size[::-1], Image.Resampling.BICUBIC))
    # Pillow leaves out what lies beyond the border, which is mirrored here: 2 pixels of the smaller of both
    edge = math.ceil(2 * max(1, size[0] / 24))
    inside = np.s_[edge:-edge, edge:-edge]
    np.testing.assert_allclose(resampled(image, *size)[0][inside], oracle[inside], atol=1e-5)

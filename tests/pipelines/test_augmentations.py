import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.augmentations import draw_rotate, draw_shift, noise, rotate, shift

IMAGE = np.random.default_rng(0).integers(0, 256, (2, 9, 9), dtype=np.uint8)


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

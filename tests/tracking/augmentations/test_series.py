import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.tracking.augmentations.op import drawn, through
from millstream.tracking.augmentations.series import CHANGES, cut, jitter, permute, scale, warp

SERIES = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
RAMP = np.arange(101.0)[:, None]


def test_jitter_has_its_share_of_each_channels_deviation():
    series = np.random.default_rng(1).normal(size=(20000, 2)) * [1.0, 50.0]
    added = jitter(series, {"deviation": 0.1, "seed": 4}) - series
    np.testing.assert_allclose(added.std(axis=0), 0.1 * series.std(axis=0), rtol=0.03)
    np.testing.assert_allclose(added.mean(axis=0) / series.std(axis=0), 0, atol=0.003)


def test_a_scaled_channel_keeps_its_form_and_factors_deviate_as_configured():
    changed = [scale(SERIES.astype(np.float64), {"deviation": 0.2, "seed": seed}) for seed in range(1000)]
    ratios = np.stack([one / SERIES for one in changed])
    np.testing.assert_allclose(ratios.std(axis=1), 0, atol=1e-6)
    factors = ratios[:, 0]
    assert factors.mean() == pytest.approx(1, abs=0.02)
    assert factors.std() == pytest.approx(0.2, rel=0.06)


@given(seed=st.integers(0, 1 << 60), deviation=st.floats(0, 1))
def test_warped_time_runs_forwards_from_the_first_step_to_the_last(seed, deviation):
    warped = warp(RAMP, {"deviation": deviation, "seed": seed})[:, 0]
    assert warped[0] == 0
    assert warped[-1] == pytest.approx(100)
    assert np.all(np.diff(warped) > 0)


def test_time_that_is_not_warped_is_the_time_itself():
    np.testing.assert_allclose(warp(RAMP, {"deviation": 0.0, "seed": 1}), RAMP, atol=1e-9)


def test_a_slice_is_a_window_stretched_back():
    sliced = cut(RAMP, {"kept": 0.6, "start": 0.5})[:, 0]
    np.testing.assert_allclose(sliced, np.linspace(20, 80, 101))


@given(segments=st.integers(1, 60), seed=st.integers(0, 1 << 60))
def test_permuted_segments_keep_all_steps_and_the_order_within(segments, seed):
    steps = np.arange(50)[:, None]
    permuted = permute(steps, {"segments": segments, "seed": seed})[:, 0]
    assert sorted(permuted) == list(range(50))
    assert (np.diff(permuted) != 1).sum() <= min(segments, 50) - 1


@given(name=st.sampled_from(sorted(CHANGES)), seed=st.integers(0, 1 << 60))
def test_every_change_keeps_shape_and_dtype_and_is_the_same_again(name, seed):
    ops = drawn(CHANGES, [(name, 0.5 if name != "permute" else 4)], seed)
    first, again = through(CHANGES, SERIES, ops), through(CHANGES, SERIES.copy(), ops)
    assert (first.shape, first.dtype) == (SERIES.shape, SERIES.dtype)
    assert np.array_equal(first, again)
    assert np.isfinite(first).all()

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from millstream.tracking.comparison.significance import difference, holm, mcnemar, resampled, statistic


def right(only_first, only_second, both=5, neither=3):
    first = [True] * only_first + [False] * only_second + [True] * both + [False] * neither
    second = [False] * only_first + [True] * only_second + [True] * both + [False] * neither
    return np.array(first), np.array(second)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_twice_the_tail_of_a_fair_coin(only_first, only_second):
    n, least = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, k) for k in range(least + 1)) / 2**n
    assert mcnemar(*right(only_first, only_second)) == pytest.approx(min(1.0, 2 * tail))


def test_mcnemar_of_a_published_table():
    # Agresti 1990, p. 350: 1,600 people interviewed twice, as the R package exact2x2 tests it
    assert mcnemar(*right(150, 86, both=794, neither=570)) == pytest.approx(3.716e-5, rel=1e-3)


def drawn(rows=200, seed=0):
    generator = np.random.default_rng(seed)
    positive = generator.random(rows) < 0.3
    probability = np.round(np.clip(positive * 0.3 + generator.random(rows) * 0.7, 0, 1), 2)  # with ties
    error = generator.normal(size=rows)
    outcomes = {"probability": probability, "positive": positive, "squared": error**2, "absolute": np.abs(error)}
    return outcomes | {"correct": (probability > 0.5) == positive, "loss": generator.random(rows)}


@given(st.integers(0, 50))
def test_a_statistic_is_the_metric_of_rows_that_count_so_often(seed):
    rows = drawn(seed=seed)
    counts = np.random.default_rng(seed).poisson(1, 200).astype(float)
    truth, guess = np.zeros(200), np.sqrt(rows["squared"])
    expected = {
        "auc": oracle.roc_auc_score(rows["positive"], rows["probability"], sample_weight=counts),
        "ap": oracle.average_precision_score(rows["positive"], rows["probability"], sample_weight=counts),
        "rmse": oracle.root_mean_squared_error(truth, guess, sample_weight=counts),
        "mse": oracle.mean_squared_error(truth, guess, sample_weight=counts),
        "mae": oracle.mean_absolute_error(truth, guess, sample_weight=counts),
        "accuracy": oracle.accuracy_score(rows["positive"], rows["probability"] > 0.5, sample_weight=counts),
        "loss": np.average(rows["loss"], weights=counts),
    }
    assert {metric: statistic(metric, rows)(counts) for metric in expected} == pytest.approx(expected)


def test_a_metric_without_values_of_rows_has_no_statistic():
    assert statistic("iou", drawn()) is None
    assert statistic("auc", {"loss": np.ones(3)}) is None


def test_the_spread_of_a_mean_is_its_standard_error():
    rows = {"loss": np.random.default_rng(1).normal(size=400)}
    found = resampled([statistic("loss", rows)], 400, seed=1)
    assert found.std() == pytest.approx(rows["loss"].std() / 20, rel=0.1)
    assert np.array_equal(found, resampled([statistic("loss", rows)], 400, seed=1))


@pytest.mark.parametrize(("shift", "least", "most"), [(0.0, 0.05, 1.0), (0.5, 0.0, 0.002)])
def test_a_difference_is_found_where_there_is_one(shift, least, most):
    # as a paired t-test of 300 rows would have it: the errors of the two are nearly the same
    draw = np.random.default_rng(4)
    first = draw.normal(size=300)
    models = [{"loss": first + shift}, {"loss": first + draw.normal(size=300) * 0.5}]
    pair = resampled([statistic("loss", one) for one in models], 300, seed=0)
    found = models[0]["loss"].mean() - models[1]["loss"].mean()
    tested = difference(found, pair[:, 0], pair[:, 1])
    assert least <= tested.p <= most
    assert tested.low < found < tested.high


def test_equal_predictions_do_not_differ():
    same = np.linspace(0, 1, 50)
    assert difference(0.0, same, same).p == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_goes_down_the_sorted_p_values(p_values):
    # the definition: the largest of (m - j + 1) p_(j) over all j up to the own place
    ranked = sorted(p_values)
    m = len(ranked)
    for one, adjusted in zip(p_values, holm(p_values), strict=True):
        places = [max(min(1.0, (m - j) * ranked[j]) for j in range(k + 1)) for k in range(m) if ranked[k] == one]
        assert any(adjusted == pytest.approx(place) for place in places)

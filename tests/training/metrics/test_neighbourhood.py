import numpy as np
import pytest
import torch
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier

from millstream.training.metrics.neighbourhood import MOST, NEIGHBOURS, NeighbourAccuracy, Trustworthiness


def drawn(count, seed=0):
    """Rows, codes that are their first two numbers and some noise, and classes."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(count, 5))
    return x, x[:, :2] + 0.3 * draw.normal(size=(count, 2)), draw.integers(0, 3, count)


def batches(*arrays, size=64):
    for start in range(0, len(arrays[0]), size):
        yield tuple(torch.from_numpy(one[start : start + size]) for one in arrays)


def trusted(x, codes):
    metric = Trustworthiness()
    for x_BD, codes_BZ in batches(x, codes):
        metric.update(x_BD, codes_BZ)
    return float(metric.compute())


def test_trustworthiness_is_scikit_learns_over_all_batches():
    x, codes, _ = drawn(150)
    assert trusted(x, codes) == pytest.approx(trustworthiness(x, codes, n_neighbors=NEIGHBOURS))
    assert trusted(x, 3 * x + 1) == 1  # whatever keeps all distances' order keeps all neighbours


def test_of_many_rows_the_first_ones_are_compared():
    x, codes, _ = drawn(MOST + 100)
    expected = trustworthiness(x[:MOST], codes[:MOST], n_neighbors=NEIGHBOURS)
    assert trusted(x, codes) == pytest.approx(expected)


@pytest.mark.parametrize("count", [1, 2, 3, 24, 25])
def test_few_rows_have_fewer_neighbours(count):
    x, codes, _ = drawn(count)
    fewer = min(NEIGHBOURS, (count - 1) // 2)
    assert trusted(x, codes) == pytest.approx(trustworthiness(x, codes, n_neighbors=fewer) if fewer else 1)


def test_the_class_of_the_nearest_other_row_is_that_of_a_neighbour_left_out():
    _, codes, classes = drawn(150)
    metric = NeighbourAccuracy()
    for codes_BZ, class_B in batches(codes, classes):
        metric.update(codes_BZ, class_B)
    # the nearest of two is the row itself
    two = KNeighborsClassifier(2).fit(codes, classes).kneighbors(codes, return_distance=False)
    assert float(metric.compute()) == pytest.approx(np.mean(classes[two[:, 1]] == classes))


def test_a_single_row_has_no_neighbour():
    metric = NeighbourAccuracy()
    metric.update(torch.zeros(1, 2), torch.zeros(1))
    assert float(metric.compute()) == 0

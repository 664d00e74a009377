import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from millstream.training.explain.tsne_map import neighbour_map


def test_near_rows_are_near_on_the_map_and_the_same_seed_draws_the_same():
    draw = np.random.default_rng(0)
    x = (10 * np.eye(3, 8)[draw.integers(0, 3, 60)] + draw.normal(size=(60, 8))).astype(np.float32)
    placed = neighbour_map(x, 0)
    assert placed.shape == (60, 2)
    assert trustworthiness(x, placed, n_neighbors=5) > 0.8
    np.testing.assert_array_equal(placed, neighbour_map(x, 0))


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 5])
def test_a_few_rows_have_a_map_too(rows):
    assert neighbour_map(np.random.default_rng(0).normal(size=(rows, 4)), 0).shape == (rows, 2)

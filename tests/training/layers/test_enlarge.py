import numpy as np
import pytest
import torch

from millstream.tracking.errors import BadData
from millstream.tracking.serving.bicubic import resampled
from millstream.training.layers.enlarge import enlarged, enlargement
from tests.training.networks.cnn.enlarging import pair
from tests.training.signatures import image, signature


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_networks_enlarge_as_the_preparation_does(factor):
    coarse = torch.rand(2, 3, 5, 7)
    found = enlarged(coarse, factor)
    for one, large in zip(coarse, found, strict=True):
        np.testing.assert_allclose(large, resampled(one.numpy(), 5 * factor, 7 * factor), atol=1e-6)


def test_the_factor_is_that_of_both_sides():
    assert enlargement(pair(3, 8, 6, factor=4), "n") == (3, 4)


@pytest.mark.bad_input
@pytest.mark.parametrize("fine", [(1, 24, 12), (1, 25, 18), (1, 4, 3)])
def test_a_target_that_is_no_multiple_is_refused(fine):
    with pytest.raises(BadData, match=r"network n.*\(8, 6\); the step coarsen"):
        enlargement(pair(1, 8, 6, fine=fine), "n")
    with pytest.raises(BadData, match="no target that is an image"):
        enlargement(signature(image(1, 8, 6)), "n")

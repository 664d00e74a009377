import numpy as np
from scipy.stats import binomtest

from millstream.tracking.figures.reliability import reliability


def test_the_intervals_are_those_of_wilson():
    rows, true = np.array([4, 200]), np.array([1, 150])
    figure = reliability(rows, np.array([0.3, 0.8]), true / rows)
    (bars,) = [one for one in figure.axes[0].collections if hasattr(one, "get_segments")]
    for segment, count, hits in zip(bars.get_segments(), rows, true, strict=True):
        expected = binomtest(int(hits), int(count)).proportion_ci(0.95, method="wilson")
        np.testing.assert_allclose(segment[:, 1], [expected.low, expected.high], rtol=1e-5)

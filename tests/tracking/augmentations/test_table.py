import numpy as np

from millstream.tracking.augmentations.op import drawn, through
from millstream.tracking.augmentations.table import changes


def test_noise_deviates_by_its_share_of_each_column_and_leaves_what_is_missing():
    deviations = np.array([1.0, 100.0, 5.0])
    ops = changes(deviations)
    row = np.array([3.0, -2.0, np.nan])
    changed = np.stack([through(ops, row, drawn(ops, [("noise", 0.1)], seed)) for seed in range(4000)])
    assert np.isnan(changed[:, 2]).all()
    np.testing.assert_allclose(changed[:, :2].std(axis=0), 0.1 * deviations[:2], rtol=0.05)
    np.testing.assert_allclose(changed[:, :2].mean(axis=0), row[:2], atol=0.6)  # four errors of the wider column

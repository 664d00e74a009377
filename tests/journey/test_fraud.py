"""From 1.75 million raw transactions to the features that the Fraud Detection Handbook published."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.journey.command import completed
from tests.pipelines.steps.test_rolling import SAME_SECOND

FEATURES = [
    "TX_AMOUNT",
    "TX_DURING_WEEKEND",
    "TX_DURING_NIGHT",
    *(f"CUSTOMER_ID_{one}_{days}DAY_WINDOW" for days in (1, 7, 30) for one in ("NB_TX", "AVG_AMOUNT")),
    *(f"TERMINAL_ID_{one}_{days}DAY_WINDOW" for days in (1, 7, 30) for one in ("NB_TX", "RISK")),
]


@pytest.mark.mirror
@pytest.mark.slow
@pytest.mark.spark
def test_every_row_has_the_features_that_the_handbook_published(settings, tmp_path):
    found = completed(tmp_path / "home", "prepare", "data/fraud")
    assert found["rows"] == {"train": 67_240, "valid": 66_975, "test": 67_080}
    made = pd.concat(pd.read_parquet(file) for file in (tmp_path / "home" / "datasets").rglob("split=*/*.parquet"))
    made = made.set_index("TRANSACTION_ID").sort_index()
    file = settings.mirror / "fraud_simulated" / "transformed_2018-07-25_2018-08-14.parquet"
    published = pd.read_parquet(file).set_index("TRANSACTION_ID").sort_index()
    assert len(published) == 201_295
    assert made.index.equals(published.index)
    assert (made["TX_FRAUD"] == published["TX_FRAUD"]).all()
    assert len(FEATURES) == 15
    ours, theirs = made[FEATURES].to_numpy(np.float64), published[FEATURES].to_numpy(np.float64)
    differ = np.flatnonzero(~np.isclose(ours, theirs, rtol=0, atol=1e-6).all(axis=1))
    # two payments of one card in one second: they count the later id first (decision 009)
    assert made.index[differ].tolist() == SAME_SECOND
    counts = [name for name in FEATURES if name.startswith("CUSTOMER_ID_NB")]
    assert (
        made.loc[SAME_SECOND, counts].to_numpy().tolist()
        == published.loc[SAME_SECOND[::-1], counts].to_numpy().tolist()
    )
    others = [name for name in FEATURES if not name.startswith("CUSTOMER_ID")]
    np.testing.assert_allclose(made.loc[SAME_SECOND, others], published.loc[SAME_SECOND, others], rtol=0, atol=1e-6)

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import accuracy_score, mean_absolute_error, mean_squared_error

from millstream.tracking.dataset.records import Affine, Step
from millstream.training.loop.baseline import baseline
from tests.datasets import make_dataset
from tests.training.feed.plan.test_samples import BLOCK, HORIZON, LENGTH, LONGEST, LOOK_BACK, SERIES
from tests.training.fitted import job_of, rows
from tests.training.signatures import number


def split(dataset, name):
    return pd.concat(pq.read_table(dataset.verified(shard)).to_pandas() for shard in dataset.shards(name))


def test_the_baseline_of_classes_is_the_most_frequent_one_of_train(tmp_path):
    dataset = rows(tmp_path)
    found = baseline(job_of(tmp_path, dataset))
    train, test = split(dataset, "train"), split(dataset, "test")
    dummy = DummyClassifier(strategy="most_frequent").fit(train[["a"]], train["label"])
    assert found.metrics == {"accuracy": accuracy_score(test["label"], dummy.predict(test[["a"]]))}
    assert found.name == f"most frequent class of train (class {dummy.predict(test[['a']])[0]})"


def test_the_baseline_of_a_number_is_the_mean_of_train_in_its_own_unit(tmp_path):
    draw = np.random.default_rng(5)
    sizes = {"train": 60, "valid": 10, "test": 25}
    made = {name: {"a": draw.normal(size=n), "paid": draw.normal(40, 9, n)} for name, n in sizes.items()}
    paid = number("paid", "target", Affine(offset=40, factor=1 / 9))
    dataset = make_dataset(tmp_path, made, [number("a"), paid], shard_rows=20)
    found = baseline(job_of(tmp_path, dataset, task={"name": "regress", "target": "paid"}))
    train, test = split(dataset, "train"), split(dataset, "test")
    guess = DummyRegressor().fit(train[["a"]], train["paid"]).predict(test[["a"]])
    assert found.name == "mean of train"
    assert found.metrics["rmse"] == pytest.approx(mean_squared_error(test["paid"], guess) ** 0.5, rel=1e-5)
    assert found.metrics["mae"] == pytest.approx(mean_absolute_error(test["paid"], guess), rel=1e-5)


def test_the_baseline_of_a_forecast_is_the_last_value_that_the_window_has_read(tmp_path):
    draw = np.random.default_rng(0)
    held = {
        name: {
            "series": draw.normal(size=(n, LONGEST, 2)).cumsum(axis=1).astype(np.float32),
            "length": np.full(n, LONGEST, np.int32),
        }
        for name, n in (("train", 9), ("valid", 4), ("test", 5))
    }
    learned = {"look_back": LOOK_BACK, "horizon": HORIZON, "stride": 1, "block": BLOCK}
    step = Step(name="window", version=1, config={}, learned=learned, rows_in=1, rows_out=1, seconds=0.0)
    dataset = make_dataset(tmp_path, held, (SERIES, LENGTH), shard_rows=3, steps=(step,))
    found = baseline(job_of(tmp_path, dataset, task={"name": "regress", "target": "series"}))
    errors = [
        row[start + LOOK_BACK - 1] - row[start + LOOK_BACK : start + LOOK_BACK + HORIZON]
        for row in held["test"]["series"].astype(np.float64)
        for start in range(BLOCK)
    ]
    assert found.name == "last value"
    assert found.metrics["rmse"] == pytest.approx(np.square(errors).mean() ** 0.5, rel=1e-5)
    assert found.metrics["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)

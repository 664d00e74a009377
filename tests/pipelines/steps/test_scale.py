import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, StandardScaler

from millstream.pipelines.steps.scale import Scale, moments
from millstream.tracking.dataset.records import Affine, Column, Step
from millstream.tracking.errors import BadData
from millstream.tracking.serving import replay
from tests.pipelines.made import NUMBER, image, rows_of, table
from tests.training.signatures import manifest

pytestmark = pytest.mark.spark


def test_scale_uses_the_train_split_only(spark):
    step = Scale(columns=("wind",), method="standard")
    learned = step.fit(table(spark, [{"wind": 2.0}, {"wind": 4.0}], NUMBER), 0)
    scaled = step.apply(table(spark, [{"wind": 5.0}], NUMBER), learned, 0)
    assert rows_of(scaled, "wind") == [(2.0,)]
    assert scaled.columns[0].dtype == "float32"


@pytest.mark.parametrize(("method", "oracle"), [("standard", StandardScaler()), ("minmax", MinMaxScaler())])
def test_scaled_values_are_those_of_scikit_learn(spark, method, oracle):
    values = np.random.default_rng(0).normal(3, 7, 50)
    step, made = Scale(column="wind", method=method), table(spark, [{"wind": value} for value in values], NUMBER)
    found = [wind for (wind,) in rows_of(step.apply(made, step.fit(made, 0), 0), "wind")]
    by_id = values[np.argsort([f"s{at}" for at in range(50)])]
    np.testing.assert_allclose(found, oracle.fit_transform(by_id[:, None])[:, 0], rtol=1e-5, atol=1e-6)


def test_what_is_learned_does_not_depend_on_partitions(spark):
    rows = [{"wind": value} for value in np.random.default_rng(1).normal(size=300)]
    step = Scale(column="wind", method="standard")
    first, *others = [step.fit(table(spark, rows, NUMBER, partitions=count), 0) for count in (1, 2, 7)]
    assert all(other == first for other in others)  # to the last bit


def test_an_image_keeps_its_bytes_and_carries_the_map(spark):
    content = bytes(range(4))
    made = table(spark, [{"image": content}], image(1, 2, 2))
    step = Scale(column="image", method="unit", high=16)
    scaled = step.apply(made, step.fit(made, 0), 0)
    assert bytes(rows_of(scaled, "image")[0][0]) == content
    assert scaled.columns[0].affine == Affine(offset=0, factor=1 / 16)


def test_the_mean_of_an_image_column_is_that_of_all_pixels(spark):
    pixels = np.random.default_rng(2).integers(0, 256, (5, 4), dtype=np.uint8)
    made = table(spark, [{"image": row.tobytes()} for row in pixels], image(1, 2, 2))
    figures = Scale(column="image", method="standard").fit(made, 0)["image"]
    assert figures["offset"] == pytest.approx(pixels.mean())
    assert 1 / figures["factor"] == pytest.approx(pixels.std())


def test_a_target_keeps_its_raw_values_and_carries_the_map(spark):
    target = Column(name="strength", dtype="float64", role="target", meaning="number", unit="MPa")
    made = table(spark, [{"strength": 10.0}, {"strength": 30.0}], target)
    step = Scale(column="strength", method="standard")
    scaled = step.apply(made, step.fit(made, 0), 0)
    assert rows_of(scaled, "strength") == [(10.0,), (30.0,)]
    assert scaled.columns[0].affine == Affine(offset=20.0, factor=0.1)


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
@pytest.mark.parametrize("count", [10, 1000])
def test_quantiles_are_those_of_scikit_learn_for_serving_too(spark, distribution, count):
    values = np.round(np.random.default_rng(4).exponential(3, 200), 1)  # with many doubles
    unseen = np.array([-5.0, 0.05, values[3], 2.345, 99.0])
    step = Scale(column="wind", method="quantile", quantiles=count, law=distribution)
    learned = step.fit(table(spark, [{"wind": value} for value in values], NUMBER, partitions=3), 0)
    found = step.apply(table(spark, [{"wind": value} for value in unseen], NUMBER), learned, 0)
    oracle = QuantileTransformer(n_quantiles=min(count, 200), output_distribution=distribution).fit(values[:, None])
    expected = oracle.transform(unseen[:, None])[:, 0]
    np.testing.assert_allclose([wind for (wind,) in rows_of(found, "wind")], expected, rtol=1e-5, atol=1e-6)
    record = Step(name="scale", version=1, config={}, learned=learned, rows_in=1, rows_out=1, seconds=0)
    known = manifest(*found.columns).model_copy(update={"steps": (record,)})
    served = replay.replay(pd.DataFrame({"wind": unseen}), known)
    np.testing.assert_allclose(served["wind"], expected, rtol=1e-5, atol=1e-6)
    back = replay.restore(served, known)["wind"].to_numpy()
    np.testing.assert_allclose(back[2:4], oracle.inverse_transform(expected[2:4, None])[:, 0], rtol=1e-4)
    assert back[4] == pytest.approx(values.max(), rel=1e-4)


@pytest.mark.bad_input
def test_a_target_has_no_quantiles(spark):
    target = Column(name="strength", dtype="float64", role="target", meaning="number")
    with pytest.raises(BadData, match="strength: quantile is for plain input numbers"):
        Scale(column="strength", method="quantile").fit(table(spark, [{"strength": 1.0}, {"strength": 2.0}], target), 0)


@pytest.mark.bad_input
def test_a_constant_column_is_refused_by_name(spark):
    with pytest.raises(BadData, match=r"wind: 3\.0 in every train row"):
        Scale(column="wind", method="standard").fit(table(spark, [{"wind": 3.0}] * 3, NUMBER), 0)


@pytest.mark.bad_input
def test_a_column_that_is_not_there_is_refused_with_those_that_are(spark):
    with pytest.raises(BadData, match=r"'wnd'.*'wind'"):
        Scale(column="wnd", method="unit").fit(table(spark, [{"wind": 3.0}], NUMBER), 0)


@given(st.dictionaries(st.floats(-1e6, 1e6), st.integers(1, 50), min_size=2, max_size=30))
def test_moments_are_those_of_the_values_written_out(counts):
    values = np.repeat(list(counts), list(counts.values()))
    mean, deviation = moments(counts)
    assert mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-6)
    assert deviation == pytest.approx(values.std(), rel=1e-6, abs=1e-6)

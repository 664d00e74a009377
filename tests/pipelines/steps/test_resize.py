import numpy as np
import pandas as pd
import pytest
from PIL import Image

from millstream.pipelines.steps.resize import Resize
from millstream.tracking.dataset.records import Column, Step
from millstream.tracking.errors import BadData
from millstream.tracking.serving import replay
from tests.pipelines.made import NUMBER, image, rows_of, table
from tests.training.signatures import manifest

pytestmark = pytest.mark.spark

MASK = Column(
    name="mask", dtype="uint8", layout="tensor", shape=(1, 8, 6), axes="CHW", role="target", meaning="category"
)


def pixels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_an_integer_factor_by_area_returns_the_means_of_the_blocks(spark):
    whole = pixels(3, 8, 6)
    step = Resize(height=4, width=3, method="area")
    made = table(spark, [{"image": whole.tobytes()}], image(3, 8, 6))
    found = step.apply(made, step.fit(made, 0), 0)
    expected = np.rint(whole.reshape(3, 4, 2, 3, 2).astype(float).mean(axis=(2, 4)))
    assert found.column("image").shape == (3, 4, 3)
    np.testing.assert_array_equal(np.frombuffer(rows_of(found, "image")[0][0], np.uint8).reshape(3, 4, 3), expected)


def test_bytes_are_those_of_pillow_but_for_rounding(spark):
    whole = pixels(1, 8, 6)
    made, step = table(spark, [{"image": whole.tobytes()}], image(1, 8, 6)), Resize(height=13, width=5)
    found = np.frombuffer(rows_of(step.apply(made, step.fit(made, 0), 0), "image")[0][0], np.uint8).reshape(13, 5)
    oracle = np.asarray(Image.fromarray(whole[0]).resize((5, 13), Image.Resampling.BILINEAR))
    # Pillow rounds images of bytes after each of its two passes
    assert np.abs(found.astype(int) - oracle).max() <= 1


def test_masks_keep_their_classes(spark):
    classes = np.where(pixels(1, 8, 6) > 128, 7, 2).astype(np.uint8)
    rows = [{"image": pixels(1, 8, 6).tobytes(), "mask": classes.tobytes()}]
    made, step = table(spark, rows, image(1, 8, 6), MASK), Resize(height=5, width=5, masks=("mask",))
    found = step.apply(made, step.fit(made, 0), 0)
    assert set(rows_of(found, "mask")[0][0]) == {2, 7}
    assert found.column("mask").shape == (1, 5, 5)


def test_serving_resizes_as_the_step_did(spark):
    whole = pixels(3, 8, 6)
    made, step = table(spark, [{"image": whole.tobytes()}], image(3, 8, 6)), Resize(height=4, width=5)
    learned = step.fit(made, 0)
    found = step.apply(made, learned, 0)
    record = Step(name="resize", version=1, config={}, learned=learned, rows_in=1, rows_out=1, seconds=0)
    known = manifest(*found.columns).model_copy(update={"steps": (record,)})
    assert replay.raw_columns(known)[0].shape == (3, 8, 6)
    for given in (whole.tobytes(), whole.tolist()):
        served = replay.replay(pd.DataFrame({"image": [given]}), known)
        assert served["image"][0] == bytes(rows_of(found, "image")[0][0])
    assert len(replay.restore(served, known)["image"][0]) == whole.size


@pytest.mark.bad_input
def test_a_column_that_is_no_image_is_refused(spark):
    made = table(spark, [{"image": b"\0", "wind": 1.0}], image(1, 1, 1), NUMBER)
    with pytest.raises(BadData, match=r"'wind'.*\['image'\]"):
        Resize(height=2, width=2, columns=("wind",)).fit(made, 0)

import gzip
import struct

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import sinc as cardinal

from millstream.pipelines.readers import origin_files
from millstream.pipelines.sources import generated
from millstream.pipelines.sources.generated import Generated
from millstream.tracking.errors import BadData
from tests.pipelines.made import rows_of

pytestmark = pytest.mark.spark


def made(spark, kind, *names, seed=0, files=None, **fields):
    table = Generated(kind=kind, **{"rows": 200, **fields}).read(spark, files or {}, seed)
    return rows_of(table, *names)


def test_sinc_keeps_its_formula_and_its_noise(spark):
    x, y = np.array(made(spark, "sinc", "x", "y")).T
    np.testing.assert_allclose(y, cardinal(x / np.pi), atol=1e-12)
    assert (x.min(), x.max()) == (pytest.approx(-10, abs=0.5), pytest.approx(10, abs=0.5))
    x, y = np.array(made(spark, "sinc", "x", "y", noise=0.1, rows=2000)).T
    # the deviation of 2,000 draws is within 5 of its own deviations, 0.1 / sqrt(4000)
    assert np.std(y - cardinal(x / np.pi)) == pytest.approx(0.1, abs=0.008)


def test_moons_are_half_circles(spark):
    for x, y, label in made(spark, "moons", "x", "y", "label"):
        along, up = (1 - x, 0.5 - y) if label else (x, y)
        assert np.hypot(along, up) == pytest.approx(1)
        assert up >= 0


def test_rings_have_the_radius_of_their_class(spark):
    rows = made(spark, "rings", "x", "y", "label", classes=3)
    assert {label for *_, label in rows} == {0, 1, 2}
    for x, y, label in rows:
        assert np.hypot(x, y) == pytest.approx(1 + label)


def test_the_sum_is_that_of_the_two_marked_numbers(spark):
    for content, total in made(spark, "adding", "series", "sum", steps=11):
        series = np.frombuffer(content, np.float32).reshape(11, 2)
        marked = np.flatnonzero(series[:, 1])
        assert len(marked) == 2
        assert marked[0] < 5 <= marked[1]
        assert total == pytest.approx(float(series[marked, 0].sum()))
        assert series[:, 0].min() >= 0
        assert series[:, 0].max() < 1


def test_rows_follow_from_the_seed_whatever_the_partitions(spark, monkeypatch):
    first = made(spark, "moons", "sample_id", "x", "y", noise=0.2)
    monkeypatch.setattr(generated, "ROWS_A_PARTITION", 7)
    assert made(spark, "moons", "sample_id", "x", "y", noise=0.2) == first
    assert made(spark, "moons", "sample_id", "x", "y", noise=0.2, rows=50) == first[:50]
    assert made(spark, "moons", "sample_id", "x", "y", noise=0.2, seed=1) != first
    assert len(set(first)) == 200


def idx(folder, array):
    path = folder / "t10k-images-idx3-ubyte.gz"
    head = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(head + array.tobytes()))
    return {"mnist/t10k-images-idx3-ubyte.gz": path}


def test_digits_fly_straight_and_bounce(spark, tmp_path):
    files = idx(tmp_path, np.full((3, 28, 28), 255, np.uint8))
    for (content,) in made(spark, "digits", "frames", files=files, rows=5, steps=30):
        frames = np.frombuffer(content, np.uint8).reshape(30, 1, 64, 64)
        # two squares of 28x28, which may lie on each other
        area = (frames == 255).sum(axis=(1, 2, 3))
        assert 28 * 28 <= area.min() <= area.max() <= 2 * 28 * 28
    generator = np.random.default_rng(3)
    frames = generated.flight(generator, np.full((1, 28, 28), 255, np.uint8), 40, digits=1)[:, 0]
    tops = np.array([np.flatnonzero(frame.any(axis=1))[0] for frame in frames])
    lefts = np.array([np.flatnonzero(frame.any(axis=0))[0] for frame in frames])
    moved = np.hypot(np.diff(tops), np.diff(lefts))
    assert moved.max() <= 5 + np.sqrt(2)  # rounding moves each coordinate by up to a pixel
    assert {0 <= at <= 36 for at in (*tops, *lefts)} == {True}
    turns = np.diff(np.sign(np.diff(lefts)[np.diff(lefts) != 0])) != 0
    assert turns.any()


@pytest.mark.bad_input
def test_images_of_another_shape_are_refused(spark, tmp_path):
    with pytest.raises(BadData, match=r"images of shape \(3, 8, 8\)"):
        made(spark, "digits", "frames", files=idx(tmp_path, np.zeros((3, 8, 8), np.uint8)), rows=1)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "spirals"}, "kind"),
        ({"kind": "moons", "steps": 9}, "moons has no such thing"),
        ({"kind": "sinc", "noise": float("nan")}, "noise"),
        ({"kind": "sinc", "rows": 0}, "rows"),
    ],
)
def test_a_wrong_setting_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        Generated(**{"rows": 5, **fields})


@pytest.mark.mirror
def test_digits_are_those_of_mnist(spark, settings):
    source = Generated(kind="digits", rows=4, steps=3, images="test")
    files = {file.name: path for file, path in origin_files.locate_all(source, settings).items()}
    assert list(files) == ["mnist/t10k-images-idx3-ubyte.gz"]
    frames = [np.frombuffer(row[0], np.uint8) for row in rows_of(source.read(spark, files, 0), "frames")]
    # digits are bright on black: of 64x64 pixels two digits light some hundred
    assert all(100 < (frame.reshape(3, -1) > 0).sum(axis=1).max() < 700 for frame in frames)

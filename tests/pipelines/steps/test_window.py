from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.pipelines.steps.window import Window, fitting_block, stored_steps
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from tests.pipelines.made import table

HOUR = Column(name="hour", dtype="int64", role="key", meaning="number")
CLOCK = Column(name="clock", dtype="string", role="key", meaning="text")
SHOP = Column(name="shop", dtype="string", role="key", meaning="category")
LOAD = Column(name="load", dtype="float64", role="input", meaning="number")
HEAT = Column(name="heat", dtype="float64", role="input", meaning="number")


def series(spark, hours, shops=None, splits=None, partitions=None):
    """Rows whose load and heat determine their position: no two are equal."""
    shops = shops or ["a"] * len(hours)
    rows = [
        {"sample_id": f"r{at}", "split": split, "hour": hour, "shop": shop, "load": float(at), "heat": -at / 7}
        for at, (hour, shop, split) in enumerate(zip(hours, shops, splits or ["train"] * len(hours), strict=True))
    ]
    return table(spark, rows, HOUR, SHOP, LOAD, HEAT, partitions=partitions)


def only(made, split):
    return replace(made, frame=made.frame.where(f"split = '{split}'"))


def done(step, made):
    learned = step.fit(only(made, "train"), 0)
    return step.apply(made, learned, 0), learned


def cut(found, learned):
    """The windows of all blocks, cut as the step's docstring defines."""
    windows = []
    width = learned["look_back"] + learned["horizon"]
    for row in found.frame.collect():
        block = np.frombuffer(row.series, "<f4").reshape(found.column("series").shape)
        starts = range(0, min(learned["block"], row.length - width + 1), learned["stride"])
        windows += [(row.split, block[start : start + width].tobytes()) for start in starts]
        assert not block[row.length :].any()
    return windows


def slid(raw, width, stride):
    """The windows of a stretch's raw numbers (T, C)."""
    view = np.lib.stride_tricks.sliding_window_view(raw.astype(np.float32), width, axis=0)
    return [np.ascontiguousarray(window.T).tobytes() for window in view[::stride]]


@pytest.mark.spark
@pytest.mark.parametrize(("stride", "horizon", "block"), [(1, 1, None), (1, 4, 7), (3, 2, None), (3, 0, 9)])
def test_windows_cut_from_blocks_are_those_slid_over_the_series_each_once(spark, stride, horizon, block):
    shuffled = np.random.default_rng(0).permutation(200)
    step = Window(time="hour", columns=("load", "heat"), look_back=4, horizon=horizon, stride=stride, block=block)
    found, learned = done(step, series(spark, shuffled.tolist(), partitions=3))
    at = np.argsort(shuffled)  # the rows in the order of their hours
    raw = np.stack([at.astype(float), -at / 7], axis=1)
    expected = [("train", window) for window in slid(raw, 4 + horizon, stride)]
    assert Counter(cut(found, learned)) == Counter(expected)
    assert len(set(expected)) == len(expected)


@pytest.mark.spark
def test_stored_bytes_are_at_most_a_fifth_more_than_raw(spark):
    found, learned = done(
        Window(time="hour", columns="numbers", look_back=24, horizon=8), series(spark, list(range(2000)))
    )
    stored = sum(len(row.series) for row in found.frame.select("series").collect())
    assert stored / (2000 * 2 * 4) == pytest.approx(learned["bytes_of_raw"], abs=1e-4)
    assert learned["bytes_of_raw"] <= 1.2
    assert found.frame.count() > 5


@pytest.mark.spark
def test_windows_never_cross_splits_entities_or_gaps(spark):
    hours = [*range(10), *range(20, 31), *range(31, 37), *range(0, 12)]
    splits = ["train"] * 21 + ["test"] * 6 + ["train"] * 12
    shops = ["a"] * 27 + ["b"] * 12
    step = Window(time="hour", entity="shop", columns=("load", "heat"), look_back=3, horizon=2, block=4)
    found, learned = done(step, series(spark, hours, shops, splits, partitions=4))
    assert learned["spacing"] == 1
    expected = []
    for rows, split in [
        (range(10), "train"),
        (range(10, 21), "train"),
        (range(21, 27), "test"),
        (range(27, 39), "train"),
    ]:
        raw = np.array([[at, -at / 7] for at in rows])
        expected += [(split, window) for window in slid(raw, 5, 1)]
    assert Counter(cut(found, learned)) == Counter(expected)
    ids = sorted(row.sample_id for row in found.frame.collect())
    assert ids == ["a/0", "a/20", "a/24", "a/31", "a/4", "b/0", "b/4"]


@pytest.mark.spark
def test_windows_that_reach_back_predict_every_step_of_their_split_once(spark):
    splits = ["train"] * 60 + ["valid"] * 20 + ["test"] * 20
    made = series(spark, list(range(100)) * 2, ["a"] * 100 + ["b"] * 100, splits * 2, partitions=3)
    step = Window(time="hour", entity="shop", columns=("load",), look_back=6, horizon=2, reach=True)
    found, learned = done(step, made)
    predicted = Counter()
    for split, window in cut(found, learned):
        load = np.frombuffer(window, "<f4").reshape(-1, 1)[:, 0]
        assert np.array_equal(np.diff(load), np.ones(7))
        predicted[split, int(load[6])] += 1
    first = (
        [("train", at) for at in range(6, 59)]
        + [("valid", at) for at in range(60, 79)]
        + [("test", at) for at in range(80, 99)]
    )
    assert predicted == Counter([(split, at + shop) for split, at in first for shop in (0, 100)])
    ids = [row.sample_id for row in found.frame.select("sample_id").collect()]
    assert len(set(ids)) == len(ids)


@pytest.mark.spark
def test_blocks_do_not_depend_on_partitions(spark):
    hours = [*range(40), *range(50, 75)]
    step = Window(time="hour", columns=("load",), look_back=3, horizon=1)
    tables = [done(step, series(spark, hours, partitions=count)) for count in (1, 3)]
    rows = [sorted((row.sample_id, bytes(row.series)) for row in found.frame.collect()) for found, _ in tables]
    assert rows[0] == rows[1]
    assert tables[0][1] == tables[1][1]


@pytest.mark.spark
def test_missing_numbers_and_double_times_are_quarantined_and_leave_a_gap(spark):
    rows = [{"clock": f"2016-07-01 {hour:02}:00:00", "load": float(hour)} for hour in range(12)]
    rows[5]["load"] = None
    rows += [{"clock": "2016-07-01 03:00:00", "load": 99.0}, {"clock": "soon", "load": 1.0}]
    made = table(
        spark, [{"split": "train", "sample_id": f"r{at:02}", **row} for at, row in enumerate(rows)], CLOCK, LOAD
    )
    found, learned = done(Window(time="clock", look_back=3, horizon=1, block=10), made)
    assert learned["spacing"] == 3600
    expected = slid(np.arange(5.0)[:, None], 4, 1) + slid(np.arange(6.0, 12)[:, None], 4, 1)
    assert Counter(window for _, window in cut(found, learned)) == Counter(expected)
    reasons = {row.sample_id: row.reason for row in found.refused.collect()}
    message = "a number or the time is missing"
    assert reasons == {"r05": message, "r12": "the time comes twice", "r13": message}
    assert {row.sample_id for row in found.frame.collect()} == {"2016-07-01 00:00:00", "2016-07-01 06:00:00"}


@pytest.mark.spark
def test_stretches_shorter_than_a_window_are_quarantined(spark):
    found, _ = done(
        Window(time="hour", columns=("load",), look_back=3, block=5), series(spark, [0, 1, 2, 3, 4, 5, 9, 10])
    )
    assert {row.sample_id: row.reason for row in found.refused.collect()} == dict.fromkeys(
        ("r6", "r7"), "in a stretch shorter than a window"
    )


@pytest.mark.spark
def test_any_spacing_knows_no_gap(spark):
    step = Window(time="hour", columns=("load",), look_back=2, block=10, spacing="any")
    found, learned = done(step, series(spark, [0, 1, 5, 7, 30]))
    assert [window for _, window in cut(found, learned)] == slid(np.arange(5.0)[:, None], 3, 1)


@given(
    st.dictionaries(st.integers(1, 5000), st.integers(1, 5), min_size=1, max_size=5),
    st.integers(0, 60),
    st.integers(1, 9),
)
def test_the_chosen_block_takes_a_fifth_more_where_any_does(lengths, overlap, stride):
    counts = Counter(lengths)
    if max(counts) <= overlap:
        return
    block = fitting_block(counts, overlap, stride)
    assert block % stride == 0
    whole = -(-(max(counts) - overlap) // stride) * stride
    raw = sum(length * count for length, count in counts.items())
    cost = stored_steps(counts, block, overlap)
    assert cost <= 1.2 * raw or cost <= stored_steps(counts, whole, overlap)


@pytest.mark.spark
@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"columns": ("lod",)}, r"\['lod'\].*'load'"),
        ({"columns": ("shop",)}, r"\['shop'\]"),
        ({"columns": ("load",), "look_back": 9}, "longest stretch without a gap has 5 steps, a window 10"),
    ],
)
def test_what_holds_no_window_is_refused(spark, fields, message):
    with pytest.raises(BadData, match=message):
        Window(**{"time": "hour", "look_back": 2, **fields}).fit(series(spark, range(5)), 0)

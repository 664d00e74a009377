import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.tracking.dataset.records import Column
from millstream.tracking.inspection import statistics
from millstream.tracking.inspection.spread import Sample
from millstream.tracking.inspection.statistics import gathering, summaries
from tests.training.signatures import category, image, number, tokens

TEXT = Column(name="text", dtype="string", role="input", meaning="text")
SERIES = Column(name="s", dtype="float32", layout="tensor", shape=(4, 2), axes="TC", role="input", meaning="series")
FINITE = st.floats(-1e6, 1e6, width=32)


def summary(column, *pieces, draws=None, **more):
    """Of one split whose rows come in these pieces."""
    one, at = gathering(column), 0
    for piece in pieces:
        batch = pa.RecordBatch.from_pydict({column.name: piece, **more})
        given = np.linspace(0, 1, len(piece)) if draws is None else draws[at : at + len(piece)]
        one.add(batch, given)
        at += len(piece)
    return summaries({"train": one})["train"]


@given(
    values=st.lists(st.one_of(FINITE, st.none(), st.just(float("nan"))), min_size=1, max_size=60),
    cut=st.integers(0, 60),
)
def test_figures_are_those_of_pandas_however_the_rows_are_cut(values, cut):
    array = pa.array(values, pa.float32())
    found = summary(number("a"), array[:cut], array[cut:])
    there = pd.Series(values, dtype="float64").dropna()
    assert (found.rows, found.missing) == (len(values), len(values) - len(there))
    if there.empty:
        assert found.spread is None
        return
    spread = found.spread
    assert spread.count == spread.kept == sum(spread.bins) == len(there)
    assert spread.mean == pytest.approx(there.mean(), rel=1e-9, abs=1e-6)
    assert spread.deviation == pytest.approx(there.std(ddof=0), rel=1e-6, abs=1e-3)
    assert spread.quartiles == pytest.approx(there.quantile([0, 0.25, 0.5, 0.75, 1]).tolist())


def test_whole_numbers_have_bins_of_their_own_and_a_long_tail_is_cut():
    small = summary(number("a"), pa.array([1.0, 1.0, 3.0])).spread
    assert (small.edges, small.bins) == ((0.5, 1.5, 2.5, 3.5), (2, 0, 1))
    values = np.append(np.linspace(0, 1, 5000), 1e9)
    tail = summary(number("a"), pa.array(values)).spread
    assert tail.edges[-1] < 2
    assert sum(tail.bins) == 5001
    assert tail.quartiles[4] == 1e9


def test_splits_are_counted_in_the_same_bins():
    gathered = {"train": gathering(number("a")), "test": gathering(number("a"))}
    for one, values in zip(gathered.values(), ([0.0, 0.5], [9.5, 10.0]), strict=True):
        one.add(pa.RecordBatch.from_pydict({"a": pa.array(values)}), np.array([0.1, 0.2]))
    found = summaries(gathered)
    assert found["train"].spread.edges == found["test"].spread.edges
    assert (found["train"].spread.bins[0], found["test"].spread.bins[-1]) == (1, 1)


def test_of_vectors_of_tags_the_rows_with_each_are_counted():
    column = Column(
        name="seen", dtype="float32", layout="tensor", shape=(3,), axes="K", role="target", meaning="vector"
    )
    column = column.model_copy(update={"classes": ("ball", "dog", "man")})
    rows = pa.array([np.array(row, "<f4").tobytes() for row in ([0, 1, 1], [0, 0, 0], [0, 0.5, 0])])
    found = summary(column, rows[:1], rows[1:])
    assert found.frequent == {"dog": 2, "man": 1, "ball": 0}
    assert (found.rows, found.counted, found.different, found.spread) == (3, 3, 2, None)


@given(order=st.permutations(range(40)))
def test_a_sample_is_that_of_the_lowest_draws_in_whatever_order_they_come(order):
    draws = (np.arange(40) * 7 % 40) / 40
    sample = Sample(6)
    for at in range(0, 40, 9):
        mine = np.array(order[at : at + 9])
        sample.add(mine, draws[mine])
        assert len(sample.items) <= 2 * 6 + 9
    assert set(sample.kept()) == set(np.argsort(draws)[:6])


def test_what_is_kept_has_a_bound_and_is_reported(monkeypatch):
    monkeypatch.setattr(statistics, "KEPT_VALUES", 100)
    draws = np.random.default_rng(0).random(1000)
    found = summary(number("a"), *(pa.array(np.arange(at, at + 250.0)) for at in range(0, 1000, 250)), draws=draws)
    assert (found.spread.count, found.spread.kept) == (1000, 100)
    assert (found.spread.quartiles[0], found.spread.quartiles[4], found.spread.mean) == (0, 999, 499.5)
    expected = np.quantile(np.arange(1000)[np.argsort(draws)[:100]], 0.5)
    assert found.spread.quartiles[2] == expected


def test_classes_are_counted_by_name_those_without_rows_too():
    found = summary(category("c", 3), pa.array([2, 0, 2, None]))
    assert (found.rows, found.missing, found.different) == (4, 1, 2)
    assert found.frequent == {"2": 2, "0": 1, "1": 0}


def test_texts_that_come_again_are_counted_whole_and_others_by_their_words():
    again = summary(TEXT, pa.array(["Graz", "Wien", "Graz", None, "Graz"]))
    assert (again.frequent, again.counted, again.different, again.missing) == ({"Graz": 3, "Wien": 1}, 5, 2, 1)
    assert again.spread.mean == 4
    free = summary(TEXT, pa.array(["a cat, a dog", "a bird"]))
    assert free.frequent == {"a": 3, ",": 1, "bird": 1, "cat": 1, "dog": 1}
    assert (free.measured, free.spread.quartiles[4]) == ("characters", 12)


def test_texts_of_too_many_kinds_are_not_counted_to_the_end(monkeypatch):
    monkeypatch.setattr(statistics, "MOST_DIFFERENT", 10)
    monkeypatch.setattr(statistics, "KEPT_TEXTS", 5)
    found = summary(TEXT, pa.array([f"t{at}" for at in range(30)]))
    assert (found.different, found.counted, len(found.frequent)) == (None, 5, 5)


def test_tokens_are_counted_by_name():
    found = summary(tokens(3, 4), pa.array([[2, 2, 3], [1]], pa.list_(pa.int64())))
    assert found.frequent == {"a": 2, "(unknown)": 1, "b": 1}
    assert (found.measured, found.spread.mean) == ("tokens", 2)


def test_of_images_every_pixel_counts():
    pixels = np.arange(24, dtype=np.uint8).reshape(3, 8)
    found = summary(image(1, 2, 4), pa.array([row.tobytes() for row in pixels]))
    assert (found.spread.count, found.spread.mean, found.spread.quartiles[4]) == (24, 11.5, 23)


def test_the_padding_of_a_series_does_not_count():
    block = np.array([[1, 2], [3, 4], [0, 0], [0, 0]], "<f4")
    found = summary(SERIES, pa.array([block.tobytes()]), length=pa.array([2], pa.int32()))
    assert (found.spread.count, found.spread.mean, found.spread.quartiles[0]) == (4, 2.5, 1)


def test_times_are_microseconds():
    column = number("t").model_copy(update={"dtype": "datetime64[us]"})
    found = summary(column, pa.array([0, 2_000_000], pa.timestamp("us")))
    assert (found.spread.mean, found.spread.deviation) == (1e6, 1e6)

import numpy as np
import pytest

from millstream.tracking.figures.study import study
from tests.tracking.figures.test_figures import NASTY, written

AXES = {"rows": ["10", "20", "40"], "fit.seed": ["7", "8"]}


def rows(value):
    return [
        ({"rows": n, "fit.seed": seed}, {"test/loss": value(int(n), int(seed))}) for n in AXES["rows"] for seed in "78"
    ]


def test_numbers_are_a_line_of_means_over_seeds_with_their_range():
    figure = study(AXES, rows(lambda n, seed: n + seed), ["test/loss"])
    (panel,) = figure.axes
    line, *_ = panel.containers[0]
    np.testing.assert_allclose(np.array(line.get_data(), float), [[10, 20, 40], [17.5, 27.5, 47.5]])
    (bars,) = panel.containers[0].lines[2]
    assert [tuple(ends[:, 1]) for ends in bars.get_segments()] == [(17, 18), (27, 28), (47, 48)]


def test_words_are_bars_and_what_failed_has_none():
    axes = {"init": ["zeros", "he"], "norm": ["none", "batch"]}
    rows = [
        ({"init": init, "norm": norm}, {"a": at})
        for at, (init, norm) in enumerate([("zeros", "none"), ("he", "batch")])
    ]
    panel = study(axes, [*rows, ({"init": "he", "norm": "none"}, {})], ["a"]).axes[0]
    heights = [bar.get_height() for bar in panel.patches]
    np.testing.assert_array_equal(heights, [0, np.nan, np.nan, 1])
    assert [label.get_text() for label in panel.get_xticklabels()] == ["zeros", "he"]


def test_courses_of_seeds_are_drawn_as_their_mean():
    curves = [({"rows": "10", "fit.seed": seed}, [(1.0, at), (2.0, at + 2)]) for at, seed in enumerate("78")]
    panel = study(AXES, rows(lambda n, seed: 1.0), ["test/loss"], curves, curve="valid/loss").axes[1]
    np.testing.assert_allclose(panel.lines[0].get_data(), [[1, 2], [0.5, 2.5]])


@pytest.mark.security
def test_labels_are_never_read_as_markup():
    rows = [({"$x$": label}, {"$y$": 1.0}) for label in NASTY]
    curves = [(labels, [(1.0, 1.0), (2.0, 0.5)]) for labels, _ in rows]
    assert written(study({"$x$": list(NASTY)}, rows, ["$y$"], curves, curve="$z$")).std() > 1

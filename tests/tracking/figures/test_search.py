import numpy as np

from millstream.tracking.figures.search import search

TRIALS = [
    ({"fit.optimizer.lr": 1e-3, "fit.init": "he"}, 0.7),
    ({"fit.optimizer.lr": 1e-1, "fit.init": "zeros"}, None),
    ({"fit.optimizer.lr": 1e-2, "fit.init": "he"}, 0.6),
    ({"fit.optimizer.lr": 1e-4, "fit.init": "$x$"}, 0.9),
]


def drawn(largest):
    figure = search(TRIALS, "valid/accuracy", largest=largest, log=["fit.optimizer.lr"])
    figure.draw_without_rendering()
    return figure.axes


def test_the_best_so_far_rises_or_falls_and_a_failed_trial_has_no_point():
    for largest, expected in ((True, [0.7, 0.7, 0.7, 0.9]), (False, [0.7, 0.7, 0.6, 0.6])):
        course, trials = drawn(largest)[0].get_lines()
        assert list(course.get_ydata()) == expected
        np.testing.assert_equal(trials.get_ydata(), [0.7, np.nan, 0.6, 0.9])


def test_each_field_has_a_panel_with_its_values_as_they_are():
    _, rate, init = drawn(largest=True)
    assert (rate.get_xlabel(), rate.get_xscale()) == ("fit.optimizer.lr", "log")
    assert not any("$" in label.get_text() for label in rate.get_xticklabels())
    assert [label.get_text() for label in init.get_xticklabels()] == ["$x$", "he", "zeros"]
    assert not any(label.get_parse_math() for label in init.get_xticklabels())


def test_of_a_first_trial_that_failed_there_is_no_best_yet():
    course, _ = search(TRIALS[1:3], "valid/loss", largest=False).axes[0].get_lines()
    np.testing.assert_equal(course.get_ydata(), [np.nan, 0.6])

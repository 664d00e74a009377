import io

import numpy as np
import pytest
from PIL import Image

from tracking.balance import Plan
from tracking.figures.balance import balance
from tracking.figures.confusion import confusion
from tracking.figures.enlargements import SIDE, enlargements, hardest
from tracking.figures.frames import film, frames
from tracking.figures.latent import latent
from tracking.figures.learning_curves import learning_curves
from tracking.figures.rate_range import rate_range
from tracking.figures.residuals import residuals
from tracking.figures.returns import returns
from tracking.figures.samples import samples

NASTY = ("$\\frac{1}{0}$", "<script>alert(1)</script>", "`; DROP TABLE", "日本" * 40, "")


def written(figure):
    """The picture as pixels, as it goes into the run."""
    out = io.BytesIO()
    figure.savefig(out, dpi=60)
    return np.asarray(Image.open(out).convert("RGB"))


COUNTS = dict(zip(NASTY, (900, 80, 7, 3, 1), strict=True))
WEIGHTED = Plan(column="$x$", method="weights", before=COUNTS, after=COUNTS, weights=dict.fromkeys(COUNTS, 0.5))

FIGURES = {
    "balance": lambda: balance(WEIGHTED),
    "confusion": lambda: confusion(np.diag([3, 4, 5, 6, 7]), NASTY),
    "curves": lambda: learning_curves({"train/loss": [[1, 2.0], [2, float("nan")]], "valid/$x": [[1, 0.5]]}),
    "enlargements": lambda: enlargements([np.random.default_rng(0).random((3, 3, 9, 120))] * 2, [(28.4, 30.1)] * 2),
    "residuals": lambda: residuals(np.arange(5.0), np.arange(5.0) + 0.1, "MPa $"),
    "samples": lambda: samples(np.random.default_rng(0).random((5, 1, 5, 5)), 3, NASTY),
    "latent": lambda: latent(np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 5, NASTY),
    "rate range": lambda: rate_range([(1e-3, 2.0), (1e-2, 1.0), (1e-1, 5.0)], 1e-3),
    "returns": lambda: returns([[10.0, 3.0], [20.0, 9.0]]),
    "frames": lambda: frames([np.zeros((4, 6, 3), np.uint8)] * 3, [0, 2, 4]),
}


@pytest.mark.security
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_whatever_its_labels_hold(name):
    pixels = written(FIGURES[name]())
    assert pixels.std() > 1  # something is drawn


def test_a_confusion_shows_its_counts():
    figure = confusion(np.array([[50, 2], [1, 47]]), ("a", "b"))
    assert {"50", "2", "1", "47"} <= {text.get_text() for text in figure.axes[0].texts}


def test_class_counts_are_drawn_before_and_after():
    before, after = {"a": 900, "b": 8}, {"a": 900, "b": 450}
    axes = balance(Plan(column="x", method="smote", before=before, after=after)).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [8, 450, 900, 900]
    many = {str(at): at + 1 for at in range(99)}
    axes = balance(Plan(column="x", method="none", before=many, after=many)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()][::39] == ["0", "98"]


def test_courses_are_drawn_where_they_are():
    figure = learning_curves({"train/loss": [[1, 2.0], [5, 1.0]], "valid/loss": [[5, 1.5]], "valid/auc": [[5, 0.9]]})
    lines = {tuple(line.get_xdata()): tuple(line.get_ydata()) for axes in figure.axes for line in axes.lines}
    assert lines[(1, 5)] == (2.0, 1.0)
    assert len([axes for axes in figure.axes if axes.lines]) == 2


def test_a_film_has_every_frame():
    shades = [np.full((4, 6, 3), shade, np.uint8) for shade in (0, 100, 250)]
    assert Image.open(io.BytesIO(film(shades, 0.04))).n_frames == 3


def test_two_numbers_of_a_code_are_shown_as_they_are():
    codes = np.random.default_rng(0).normal(size=(20, 2))
    (points,) = latent(codes, None, ()).axes[0].collections
    np.testing.assert_allclose(points.get_offsets(), codes)


def test_the_part_is_shown_in_which_the_error_is_largest():
    true = np.zeros((1, 300, 200))
    told = true + 0.001
    told[0, 150:170, 60:90] = 0.5
    rows, columns = hardest(told, true)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (SIDE, SIDE)
    assert told[0, rows, columns].sum() == pytest.approx(0.5 * 600 + 0.001 * (SIDE**2 - 600))
    assert hardest(told[:, :50, :40], true[:, :50, :40]) == (slice(0, 50), slice(0, 40))

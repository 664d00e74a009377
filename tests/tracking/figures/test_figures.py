import io

import numpy as np
import pytest
from PIL import Image
from sklearn.tree import DecisionTreeClassifier

from millstream.tracking.dataset.class_balance import Plan
from millstream.tracking.figures.activations import activation_maps, feature_maps, filters
from millstream.tracking.figures.attended_words import attended_words
from millstream.tracking.figures.balance import balance
from millstream.tracking.figures.calibration import calibration
from millstream.tracking.figures.clusters import clusters
from millstream.tracking.figures.confusion import confusion
from millstream.tracking.figures.density_map import density_map, log_densities
from millstream.tracking.figures.descent import descent
from millstream.tracking.figures.enlargements import SIDE, enlargements, hardest
from millstream.tracking.figures.fit import fit
from millstream.tracking.figures.forecasts import error_by_horizon, forecasts
from millstream.tracking.figures.frames import film, frames
from millstream.tracking.figures.gates import gates
from millstream.tracking.figures.gradient_norms import gradient_norms
from millstream.tracking.figures.importance import importance, importance_map
from millstream.tracking.figures.latent import latent
from millstream.tracking.figures.learning_curves import learning_curves
from millstream.tracking.figures.piano_roll import piano_rolls
from millstream.tracking.figures.rate_range import rate_range
from millstream.tracking.figures.reliability import reliability
from millstream.tracking.figures.residuals import residuals
from millstream.tracking.figures.returns import returns
from millstream.tracking.figures.samples import samples
from millstream.tracking.figures.score_curves import precision_recall, roc
from millstream.tracking.figures.stacked import stacked
from millstream.tracking.figures.tree import tree
from millstream.tracking.figures.variance_kept import variance_kept

NASTY = ("$\\frac{1}{0}$", "<script>alert(1)</script>", "`; DROP TABLE", "日本" * 40, "")


def written(figure):
    """The figure as pixels, as it goes into the run."""
    out = io.BytesIO()
    figure.savefig(out, dpi=60)
    return np.asarray(Image.open(out).convert("RGB"))


COUNTS = dict(zip(NASTY, (900, 80, 7, 3, 1), strict=True))
WEIGHTED = Plan(column="$x$", method="weights", before=COUNTS, after=COUNTS, weights=dict.fromkeys(COUNTS, 0.5))

SCORED = np.arange(15).reshape(3, 5), np.arange(15)[::-1].reshape(3, 5).cumsum(axis=0)
X = np.linspace(-1, 1, 9)
TREE = DecisionTreeClassifier(random_state=0).fit(np.random.default_rng(0).normal(size=(50, 5)), np.arange(50) % 5)

FIGURES = {
    "attended words": lambda: attended_words(
        [("$\\frac$", NASTY * 20, np.linspace(0, 1, 100)), ("", ("a",), np.zeros(1)), ("none", (), np.zeros(0))]
    ),
    "roc": lambda: roc(*SCORED, NASTY),
    "precision and recall": lambda: precision_recall(*SCORED, NASTY),
    "reliability": lambda: reliability(
        np.array([3, 0, 900]), np.array([0.1, np.nan, 0.9]), np.array([0.0, np.nan, 1.0]), NASTY[0]
    ),
    "reliability without rows": lambda: reliability(np.zeros(3), np.full(3, np.nan), np.full(3, np.nan)),
    "piano rolls": lambda: piano_rolls({"true": np.eye(5), "silent": np.zeros((3, 5)), "empty": np.zeros((0, 5))}),
    "forecasts": lambda: forecasts([(np.ones((5, 2)), np.ones((3, 2)), np.full((3, 2), np.nan))] * 2),
    "error by horizon": lambda: error_by_horizon({NASTY[0]: np.ones(3), "": np.full(3, np.nan)}),
    "gates": lambda: gates({name: np.random.default_rng(0).normal(size=(5, 3)) for name in ("forget", "cell")}, NASTY),
    "gates of no unit": lambda: gates({"cell": np.zeros((2, 0))}),
    "gradient norms": lambda: gradient_norms(np.array([1e-30, 0.0, np.nan, 2.0]), NASTY[0]),
    "gradient norms of 0": lambda: gradient_norms(np.zeros(4)),
    "descent": lambda: descent(
        (np.mgrid[:9, :8] ** 2).sum(axis=0), np.arange(8), np.arange(9), np.array([[7, 8], [3, 2], [0, 0]]), NASTY[:2]
    ),
    "a flat descent": lambda: descent(np.ones((9, 8)), np.arange(8), np.arange(9), np.ones((2, 2)), ("a", "b")),
    "stacked": lambda: stacked({name: np.ones((9, 20, 3)) for name in NASTY}),
    "filters": lambda: filters(np.random.default_rng(0).normal(size=(70, 5, 3, 3))),
    "feature maps": lambda: feature_maps(
        np.random.default_rng(0).normal(size=(2, 9, 9)), {name: np.ones((9, 3, 3)) for name in NASTY}
    ),
    "activation maps": lambda: activation_maps(
        np.random.default_rng(0).random((5, 3, 9, 9)), np.zeros((5, 9, 9)), NASTY
    ),
    "balance": lambda: balance(WEIGHTED),
    "confusion": lambda: confusion(np.diag([3, 4, 5, 6, 7]), NASTY),
    "curves": lambda: learning_curves({"train/loss": [[1, 2.0], [2, float("nan")]], "valid/$x": [[1, 0.5]]}),
    "enlargements": lambda: enlargements([np.random.default_rng(0).random((3, 3, 9, 120))] * 2, [(28.4, 30.1)] * 2),
    "residuals": lambda: residuals(np.arange(5.0), np.arange(5.0) + 0.1, "MPa $"),
    "samples": lambda: samples(np.random.default_rng(0).random((5, 1, 5, 5)), 3, NASTY),
    "latent": lambda: latent(np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 5, NASTY),
    "clusters": lambda: clusters(
        np.random.default_rng(0).normal(size=(30, 4)),
        {"cluster": np.arange(30) % 4 - 1, "class": np.arange(30) % 5},
        NASTY,
    ),
    "density map": lambda: density_map(
        -(np.mgrid[:9, :8] ** 2).sum(axis=0), np.arange(8), np.arange(9), np.ones((3, 2)), NASTY[:2]
    ),
    "log densities": lambda: log_densities(np.arange(20.0)),
    "variance kept": lambda: variance_kept(np.array([0.6, 0.3, 0.1]), 2),
    "importance": lambda: importance(np.array([0.5, 0.3, 0.1, 0.1, 0.0]), NASTY),
    "importance map": lambda: importance_map(np.eye(5)),
    "tree": lambda: tree(TREE, NASTY, NASTY),
    "rate range": lambda: rate_range([(1e-3, 2.0), (1e-2, 1.0), (1e-1, 5.0)], 1e-3),
    "returns": lambda: returns([[10.0, 3.0], [20.0, 9.0]]),
    "fit": lambda: fit(X, X**2, X, NASTY[:2], band=(X - 1, X + 1), title="$"),
    "calibration": lambda: calibration(np.linspace(0, 1, 30)),
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


def test_the_variance_kept_is_that_of_all_parts_so_far():
    (line,) = variance_kept(np.array([0.6, 0.3, 0.1]), 2).axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), [0.6, 0.9, 1.0])


def test_the_most_important_column_is_on_top():
    axes = importance(np.array([0.1, 0.7, 0.2]), ("a", "b", "c")).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "c", "a"]
    assert axes.yaxis_inverted()


def test_rows_in_no_cluster_are_grey():
    figure = clusters(np.random.default_rng(0).normal(size=(9, 2)), {"cluster": np.array([-1, 0, 1] * 3)}, ())
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["none", "0", "1"]


def test_a_deep_tree_is_cut_off_and_marked_so():
    texts = [one.get_text() for one in tree(TREE, tuple("abcde"), tuple("vwxyz")).axes[0].texts]
    assert TREE.get_depth() > 3
    assert "\n  (...)  \n" in texts
    assert not any("value" in text for text in texts)  # five classes are too many to list
    assert texts[0].startswith("abcde"[TREE.tree_.feature[0]] + " <= ")


def test_the_part_is_shown_in_which_the_error_is_largest():
    true = np.zeros((1, 300, 200))
    predicted = true + 0.001
    predicted[0, 150:170, 60:90] = 0.5
    rows, columns = hardest(predicted, true)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (SIDE, SIDE)
    assert predicted[0, rows, columns].sum() == pytest.approx(0.5 * 600 + 0.001 * (SIDE**2 - 600))
    assert hardest(predicted[:, :50, :40], true[:, :50, :40]) == (slice(0, 50), slice(0, 40))

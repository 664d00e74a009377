import numpy as np
import pytest
import torch
from sklearn import metrics as oracle

from millstream.tracking.figures.score_curves import precision_recall, roc
from millstream.training.metrics.per_class import per_class
from millstream.training.metrics.reliability import BINS, Reliability
from millstream.training.metrics.score_curves import ScoreCurves


def drawn(rows=400, classes=4):
    generator = torch.Generator().manual_seed(0)
    truth_B = torch.randint(0, classes, (rows,), generator=generator)
    scores_BK = torch.randn(rows, classes, generator=generator) * 3
    scores_BK[torch.arange(rows), truth_B] += 2
    return torch.softmax(scores_BK, dim=1), truth_B


def measured(metric, *given):
    """In two parts, as of two batches."""
    metric.update(*(one[:150] for one in given))
    metric.update(*(one[150:] for one in given))
    return metric.compute()


def test_curves_count_the_rows_that_reach_each_threshold():
    probabilities_BK, truth_B = drawn()
    metric = ScoreCurves(4)
    true_TK, false_TK = measured(metric, probabilities_BK, truth_B)
    for at, threshold in enumerate([*reversed(metric.thresholds.tolist()), 0.0], 0):
        # the first threshold is the highest, the last one is reached by every row
        reached_BK = probabilities_BK >= threshold
        is_class_BK = truth_B[:, None] == torch.arange(4)
        assert true_TK[at].tolist() == (reached_BK & is_class_BK).sum(dim=0).tolist()
        assert false_TK[at].tolist() == (reached_BK & ~is_class_BK).sum(dim=0).tolist()


def legend(figure):
    """Area in the legend by class name."""
    (axes,) = figure.axes
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    return {text.split(":")[0]: float(text.split(":")[1].split(",")[0].split()[-1]) for text in texts}


def test_areas_are_those_of_scikit_learn_to_the_width_of_a_threshold():
    probabilities_BK, truth_B = drawn()
    true_TK, false_TK = (one.numpy() for one in measured(ScoreCurves(4), probabilities_BK, truth_B))
    names = ["a", "b", "c", "d"]
    areas, precisions = legend(roc(true_TK, false_TK, names)), legend(precision_recall(true_TK, false_TK, names))
    for at, name in enumerate(names):
        of_class = truth_B.numpy() == at, probabilities_BK[:, at].numpy()
        assert areas[name] == pytest.approx(oracle.roc_auc_score(*of_class), abs=1e-3)
        assert precisions[name] == pytest.approx(oracle.average_precision_score(*of_class), abs=5e-3)


def test_a_class_without_rows_has_no_curve():
    true_TK, false_TK = np.array([[0, 0], [3, 0]]), np.array([[0, 2], [4, 7]])
    assert list(legend(roc(true_TK, false_TK, ["a", "none"]))) == ["a"]
    assert list(legend(precision_recall(true_TK, false_TK, ["a", "none"]))) == ["a"]


def test_bins_are_those_of_the_calibration_curve_of_scikit_learn():
    from sklearn.calibration import calibration_curve

    probabilities_BK, truth_B = drawn(classes=2)
    is_true_B = truth_B == 1
    rows_N, confidence_N, accuracy_N = measured(Reliability(), probabilities_BK[:, 1], is_true_B)
    accuracy, confidence = calibration_curve(is_true_B, probabilities_BK[:, 1], n_bins=BINS)
    kept = rows_N > 0
    assert int(rows_N.sum()) == 400
    np.testing.assert_allclose(accuracy_N[kept], accuracy, rtol=1e-5)
    np.testing.assert_allclose(confidence_N[kept], confidence, rtol=1e-5)


def test_a_probability_of_one_is_in_the_last_bin():
    rows_N, _, accuracy_N = measured(Reliability(), torch.ones(200), torch.ones(200, dtype=torch.bool))
    assert (int(rows_N[-1]), float(accuracy_N[-1])) == (200, 1.0)


def test_results_by_class_are_those_of_scikit_learn_and_the_worst_class_is_first():
    probabilities_BK, truth_B = drawn()
    predicted_B = probabilities_BK.argmax(dim=1)
    counts_KK, names = oracle.confusion_matrix(truth_B, predicted_B), ["a", "b", "c", "d"]
    expected = oracle.classification_report(truth_B, predicted_B, target_names=names, output_dict=True)
    table = per_class(counts_KK, names)
    for name, rows, precision, recall, f1, _ in table.rows:
        of_class = expected[name]
        assert (rows, precision, recall, f1) == (
            of_class["support"],
            *(pytest.approx(of_class[one], abs=1e-4) for one in ("precision", "recall", "f1-score")),
        )
    assert [row[4] for row in table.rows] == sorted(row[4] for row in table.rows)


def test_the_class_it_is_mistaken_for_most_often_is_named():
    table = per_class(np.array([[5, 1, 3], [0, 4, 0], [0, 0, 0]]), ["a", "b", "c"])
    assert {row[0]: row[-1] for row in table.rows} == {"a": "c (3)", "b": "", "c": ""}

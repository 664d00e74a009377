import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle
from torch import nn

from tests.training.signatures import number, signature, target
from tests.training.tasks.made import batch, measured
from training.fit_config import Fit
from training.tasks.classify import Classify, Config, cross_entropy


def task(classes, **config):
    return Classify(Config(target="label", **config), nn.Identity(), signature(number("a"), target(classes)), Fit())


def drawn(rows, classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, classes, generator=generator), torch.randint(0, classes, (rows,), generator=generator)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_metrics_are_those_of_scikit_learn_and_masked_slots_do_not_count(classes):
    scores, truth = drawn(60, classes)
    found = measured(
        task(classes), batch(scores[:40], target=truth[:40]), batch(scores[40:], target=truth[40:], real=11)
    )
    scores, truth = scores[:51].double().numpy(), truth[:51].numpy()
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    told = scores.argmax(axis=1)
    expected = {
        "test/loss": oracle.log_loss(truth, chances, labels=range(classes)),
        "test/accuracy": oracle.accuracy_score(truth, told),
        "test/macro_f1": oracle.f1_score(truth, told, average="macro"),
    }
    if classes == 2:
        expected["test/auc"] = oracle.roc_auc_score(truth, chances[:, 1])
        expected["test/ap"] = oracle.average_precision_score(truth, chances[:, 1])
    assert found == pytest.approx(expected, rel=1e-5)


@given(st.integers(2, 9), st.floats(0, 0.9), st.integers(0, 99))
def test_the_loss_is_the_formula(classes, smoothing, seed):
    scores, truth = drawn(5, classes, seed)
    log_chances = scores.double() - scores.double().logsumexp(dim=1, keepdim=True)
    aim = (1 - smoothing) * torch.eye(classes, dtype=torch.float64)[truth] + smoothing / classes
    expected = -(aim * log_chances).sum(dim=1)
    torch.testing.assert_close(cross_entropy(scores.double(), truth, smoothing=smoothing), expected)


def test_predictions_are_classes_with_their_probabilities():
    scores, _ = drawn(8, 3)
    found = task(3).predict(scores)
    assert found["prediction"] == [f"class {at}" for at in scores.argmax(dim=1)]
    np.testing.assert_allclose([row.sum() for row in found["probabilities"]], 1)
    np.testing.assert_allclose([row.max() for row in found["probabilities"]], found["probability"])


def test_the_confusion_is_of_the_test():
    made = task(3)
    scores, truth = drawn(30, 3)
    measured(made, batch(scores, target=truth))
    expected = oracle.confusion_matrix(truth, scores.argmax(dim=1))
    np.testing.assert_array_equal(made.confusion.compute(), expected)

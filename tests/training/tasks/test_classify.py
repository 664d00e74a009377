import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle
from torch import nn

from millstream.tracking.dataset.signature import Shares
from millstream.tracking.errors import BadData, WrongRecipe
from millstream.training.config.fit import Fit
from millstream.training.estimator_module import EstimatorModule
from millstream.training.networks.classical import tree
from millstream.training.objectives.classification import cross_entropy, squared
from millstream.training.tasks.classify import Classify, Config
from tests.training.signatures import number, signature, target
from tests.training.tasks.made import batch, measured


def task(classes, shares=None, column=None, network=None, **config):
    held = signature(number("a"), column or target(classes)).model_copy(update={"shares": shares})
    return Classify(Config(target="label", **config), network or nn.Identity(), held, Fit())


def drawn(rows, classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, classes, generator=generator), torch.randint(0, classes, (rows,), generator=generator)


def calibration_error(probabilities, truth, bins=15):
    """The definition: the sum over bins of their share of the rows times |accuracy - mean probability|."""
    best, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    places = np.minimum((best * bins).astype(int), bins - 1)
    return sum(abs(right[places == at].sum() - best[places == at].sum()) for at in range(bins)) / len(truth)


def test_scores_that_could_be_probabilities_are_taken_as_scores():
    # the same score for all of four classes is a probability of 1/4; right in one of two rows
    found = measured(task(4), batch(torch.full((2, 4), 0.5), target=torch.tensor([0, 1])))
    assert found["test/calibration_error"] == pytest.approx(0.25)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_squared_loss_is_that_of_brier(classes):
    scores, truth = drawn(40, classes)
    found, _ = task(classes, loss="squared").rows(batch(scores, target=truth))
    probabilities = torch.softmax(scores.double(), dim=1).numpy()
    expected = oracle.brier_score_loss(truth.numpy(), probabilities, labels=range(classes), scale_by_half=False)
    assert float(found.mean()) == pytest.approx(expected, rel=1e-5)
    shares = torch.nn.functional.one_hot(truth, classes).float()
    torch.testing.assert_close(squared(scores, shares), found)
    spread = 0.9 * shares + 0.1 / classes
    torch.testing.assert_close(squared(scores, truth, smoothing=0.1), squared(scores, spread))


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_metrics_are_those_of_scikit_learn_and_masked_slots_do_not_count(classes):
    scores, truth = drawn(60, classes)
    found = measured(
        task(classes), batch(scores[:40], target=truth[:40]), batch(scores[40:], target=truth[40:], real=11)
    )
    scores, truth = scores[:51].double().numpy(), truth[:51].numpy()
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    predicted = scores.argmax(axis=1)
    expected = {
        "test/loss": oracle.log_loss(truth, probabilities, labels=range(classes)),
        "test/accuracy": oracle.accuracy_score(truth, predicted),
        "test/macro_f1": oracle.f1_score(truth, predicted, average="macro"),
        "test/calibration_error": calibration_error(probabilities, truth),
    }
    if classes == 2:
        expected["test/auc"] = oracle.roc_auc_score(truth, probabilities[:, 1])
        expected["test/ap"] = oracle.average_precision_score(truth, probabilities[:, 1])
    assert found == pytest.approx(expected, rel=1e-5)


@given(st.integers(2, 9), st.floats(0, 0.9), st.integers(0, 99))
def test_the_loss_is_the_formula(classes, smoothing, seed):
    scores, truth = drawn(5, classes, seed)
    log_probabilities = scores.double() - scores.double().logsumexp(dim=1, keepdim=True)
    aim = (1 - smoothing) * torch.eye(classes, dtype=torch.float64)[truth] + smoothing / classes
    expected = -(aim * log_probabilities).sum(dim=1)
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


def posterior(x_B, priors, means):
    """Bayes for classes that are normal with deviation 1: (B, K)."""
    joint = priors * np.exp(-((x_B[:, None] - means) ** 2) / 2)
    return joint / joint.sum(axis=1, keepdims=True)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=4), st.data())
def test_corrected_probabilities_are_those_of_bayes_with_the_shares_as_given(parts, data):
    given_K = np.array(parts) / sum(parts)
    weights = data.draw(st.lists(st.floats(0.01, 1), min_size=len(parts), max_size=len(parts)))
    trained_K = np.array(weights) / sum(weights)
    means_K, x_B = np.arange(len(parts)) * 1.5, np.linspace(-3, 6, 40)
    scores = torch.tensor(np.log(posterior(x_B, trained_K, means_K)))
    shares = Shares(given=given_K.tolist(), trained=trained_K.tolist())
    found = np.stack(task(len(parts), shares, prior="corrected").predict(scores)["probabilities"])
    np.testing.assert_allclose(found, posterior(x_B, given_K, means_K), rtol=1e-5, atol=1e-9)
    kept = np.stack(task(len(parts), shares).predict(scores)["probabilities"])
    np.testing.assert_allclose(kept, posterior(x_B, trained_K, means_K), rtol=1e-9)


def test_a_correction_shows_in_valid_and_test_and_not_in_training():
    shares, (scores, truth) = Shares(given=(0.9, 0.1), trained=(0.5, 0.5)), drawn(50, 2)
    made, plain = task(2, shares, prior="corrected"), task(2)
    moved = scores + torch.tensor([0.9, 0.1]).log() - torch.tensor([0.5, 0.5]).log()
    found, expected = measured(made, batch(scores, target=truth)), measured(plain, batch(moved, target=truth))
    assert found == pytest.approx(expected, rel=1e-6)
    # no constant changes an order
    kept = measured(plain, batch(scores, target=truth))
    assert (found["test/auc"], found["test/ap"]) == pytest.approx((kept["test/auc"], kept["test/ap"]))
    made.train()
    torch.testing.assert_close(made.rows(batch(scores, target=truth))[0], cross_entropy(scores, truth))


def test_a_class_without_rows_is_left_as_it_is():
    shares = Shares(given=(0.5, 0.5, 0.0), trained=(0.25, 0.75, 0.0))
    assert task(3, shares, prior="corrected").shift_K.tolist() == pytest.approx([np.log(2), np.log(2 / 3), 0])
    assert task(3, prior="corrected").shift_K.tolist() == 0


@pytest.mark.bad_input
def test_shares_of_other_classes_correct_nothing_and_are_refused_where_that_is_configured():
    shares = Shares(given=(0.0, 0.5), trained=(0.0, 0.25), strangers=("0",))
    with pytest.raises(BadData, match=r"classes \['0'\] were rebalanced, and the target has none of that name"):
        task(2, shares, prior="corrected")
    assert task(2, shares).shift_K.tolist() == 0


SHARES = target(3).model_copy(update={"dtype": "float32", "layout": "tensor", "shape": (3,), "meaning": "vector"})


def test_the_loss_of_a_soft_label_is_the_mean_over_its_classes():
    scores, _ = drawn(6, 3)
    soft = torch.rand(6, 3, generator=torch.Generator().manual_seed(1))
    soft = soft / soft.sum(dim=1, keepdim=True)
    expected = sum(soft[:, at] * cross_entropy(scores, torch.full((6,), at)) for at in range(3))
    torch.testing.assert_close(task(3, column=SHARES).rows(batch(scores, target=soft))[0], expected)


def test_shares_are_measured_as_their_most_probable_classes():
    scores, truth = drawn(40, 3)
    one_hot = torch.nn.functional.one_hot(truth, 3).float()
    found = measured(task(3, column=SHARES), batch(scores, target=one_hot))
    assert found == pytest.approx(measured(task(3), batch(scores, target=truth)), rel=1e-6)


@pytest.mark.bad_input
def test_an_estimator_is_not_given_shares_of_classes():
    network = EstimatorModule(tree.build(tree.Config(), signature(number("a"), target(3))))
    with pytest.raises(WrongRecipe, match="holds shares of classes, and an estimator learns whole ones"):
        task(3, column=SHARES, network=network)

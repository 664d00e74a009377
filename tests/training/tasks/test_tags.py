import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from torch import nn

from millstream.tracking.errors import WrongRecipe
from millstream.training.config.fit import Fit
from millstream.training.networks.mlp import mlp
from millstream.training.tasks.tags import Config, Tags
from tests.training.signatures import number, signature, target
from tests.training.tasks.made import batch, measured


def vector(count, **fields):
    changed = {"layout": "tensor", "shape": (count,), "meaning": "vector", **fields}
    return number("tags", role="target").model_copy(update=changed)


def task(network=None, column=None):
    made = signature(number("a"), column or vector(3, classes=("red", "round", "ripe")))
    return Tags(Config(target="tags"), network or nn.Identity(), made, Fit())


def test_metrics_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    scores, has = generator.normal(size=(60, 3)).astype("float32"), generator.integers(0, 2, size=(60, 3))
    found = measured(task(), batch(torch.from_numpy(scores), target=torch.from_numpy(has).float(), real=50))
    scores, has = scores[:50], has[:50]
    probabilities = 1 / (1 + np.exp(-scores.astype("float64")))
    predicted = probabilities > 0.5
    expected = {
        "test/loss": np.mean([oracle.log_loss(has[:, at], probabilities[:, at]) for at in range(3)]),
        "test/accuracy": oracle.accuracy_score(has, predicted),
        "test/macro_f1": oracle.f1_score(has, predicted, average="macro"),
        "test/auc": oracle.roc_auc_score(has, probabilities, average="macro"),
        "test/ap": oracle.average_precision_score(has, probabilities, average="macro"),
    }
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_row_may_have_no_tag_or_all():
    found = task().predict(torch.tensor([[-1.0, -2.0, -3.0], [1.0, -1.0, 2.0], [1.0, 1.0, 1.0]]))
    assert found["prediction"] == [[], ["red", "ripe"], ["red", "round", "ripe"]]
    np.testing.assert_allclose(found["probabilities"][1][2], 1 / (1 + np.exp(-2)))


def test_tags_without_names_have_their_numbers():
    assert task(column=vector(2)).predict(torch.tensor([[1.0, 1.0]]))["prediction"] == [["0", "1"]]


def test_a_network_returns_a_score_for_each_tag():
    assert mlp.build(mlp.Config(), signature(number("a"), vector(5)))(torch.randn(3, 1)).shape == (3, 5)


@pytest.mark.bad_input
def test_one_class_a_row_is_refused():
    with pytest.raises(WrongRecipe, match="no vector of tags"):
        task(column=target(3).model_copy(update={"name": "tags"}))

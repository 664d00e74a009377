import numpy as np
import pytest
import torch
import xgboost as xgb
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from millstream.tracking.errors import BadData
from millstream.training.estimator_module import EstimatorModule
from millstream.training.networks.classical import (
    extra_trees,
    forest,
    gradient_boosting,
    linear,
    logistic,
    naive_bayes,
    neighbours,
    tree,
    xgboost,
)
from tests.training.signatures import category, image, number, signature, target

CLASSES = 3
SIGNATURE = signature(number("a"), number("b"), category("c", 4), target(CLASSES))


def rows(count=300, seed=0):
    generator = np.random.default_rng(seed)
    numbers = generator.normal(size=(count, 2)).astype(np.float32)
    categories = generator.integers(0, 4, (count, 1))
    labels = (numbers[:, 0] > 0).astype(np.int64) + (categories[:, 0] == 2)
    return torch.from_numpy(numbers), torch.from_numpy(categories), torch.from_numpy(labels)


MODULES = (extra_trees, forest, gradient_boosting, logistic, naive_bayes, neighbours, tree, xgboost)


def ids(module):
    return module.__name__.rpartition(".")[2]


def fitted(module, weight=None, **config):
    numbers, categories, labels = rows()
    network = module.build(module.Config(**config), SIGNATURE)
    network.fit((numbers, categories), labels, torch.ones(len(labels)) if weight is None else weight)
    return network


@pytest.mark.parametrize("module", MODULES, ids=ids)
def test_scores_are_log_probabilities(module):
    numbers, categories, _ = rows(seed=1)
    probabilities = np.exp(fitted(module)(numbers, categories))
    assert probabilities.shape == (300, CLASSES)
    np.testing.assert_allclose(probabilities.sum(axis=1), np.ones(300), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("module", "config", "oracle"),
    [
        (extra_trees, {}, ExtraTreesClassifier(random_state=0)),
        (extra_trees, {"columns": 1.0}, ExtraTreesClassifier(max_features=None, random_state=0)),
        (forest, {}, RandomForestClassifier(random_state=0)),
        (forest, {"columns": 0.5}, RandomForestClassifier(max_features=0.5, random_state=0)),
        (gradient_boosting, {}, GradientBoostingClassifier(random_state=0)),
        (neighbours, {}, KNeighborsClassifier()),
        (logistic, {}, LogisticRegression()),
        (naive_bayes, {}, GaussianNB()),
        (tree, {}, DecisionTreeClassifier(random_state=0)),
        (tree, {"columns": "sqrt"}, DecisionTreeClassifier(max_features="sqrt", random_state=0)),
    ],
    ids=str,
)
def test_predictions_are_those_of_scikit_learn_itself(module, config, oracle):
    numbers, categories, labels = rows()
    flat = np.concatenate([numbers, categories.float()], axis=1)
    expected = oracle.fit(flat, labels.numpy()).predict_proba(flat)
    np.testing.assert_allclose(np.exp(fitted(module, **config)(numbers, categories)), expected, atol=1e-6)


def test_xgboost_splits_categories_as_sets():
    numbers, categories, labels = rows()
    flat = np.concatenate([numbers, categories.float()], axis=1)
    data = xgb.DMatrix(flat, label=labels.numpy(), feature_types=["q", "q", "c"], enable_categorical=True)
    settings = {"objective": "multi:softprob", "num_class": CLASSES, "max_depth": 6, "eta": 0.1, "seed": 0}
    expected = xgb.train({**settings, "tree_method": "hist"}, data, 20).predict(data)
    np.testing.assert_allclose(np.exp(fitted(xgboost, rounds=20)(numbers, categories)), expected, atol=1e-5)


def test_weights_move_the_decision():
    _, _, labels = rows()
    heavy = torch.where(labels == 0, 50.0, 1.0)
    numbers, categories, _ = rows(seed=1)
    plain = (fitted(logistic)(numbers, categories).argmax(axis=1) == 0).sum()
    weighted = (fitted(logistic, weight=heavy)(numbers, categories).argmax(axis=1) == 0).sum()
    assert weighted > plain


def test_a_class_without_a_row_has_probability_zero_and_not_anothers():
    numbers, categories, labels = rows()
    network = tree.build(tree.Config(), SIGNATURE)
    network.fit((numbers, categories), torch.where(labels == 1, 2, labels), torch.ones(len(labels)))
    assert set(network(numbers, categories).argmax(axis=1).tolist()) == {0, 2}


NUMBER = signature(number("a"), number("b"), number("y", role="target"))


@pytest.mark.parametrize(
    ("module", "config", "oracle"),
    [
        (linear, {}, LinearRegression()),
        (linear, {"penalty": 2.0}, Ridge(2.0)),
        (neighbours, {"weights": "distance"}, KNeighborsRegressor(weights="distance")),
        (tree, {"columns": 0.5}, DecisionTreeRegressor(max_features=0.5, random_state=0)),
        (forest, {}, RandomForestRegressor(random_state=0)),
    ],
)
def test_numbers_are_predicted_as_by_scikit_learn_itself(module, config, oracle):
    numbers, _, labels = rows()
    network = module.build(module.Config(**config), NUMBER)
    network.fit((numbers,), labels.float(), torch.ones(len(labels)))
    expected = oracle.fit(numbers.numpy(), labels.numpy()).predict(numbers.numpy())
    np.testing.assert_allclose(network(numbers)[:, 0], expected, atol=1e-5)
    again = module.build(module.Config(**config), NUMBER)
    EstimatorModule(again).load_state_dict(EstimatorModule(network).state_dict())
    assert np.array_equal(again(numbers), network(numbers))


@pytest.mark.bad_input
def test_what_an_estimator_cannot_learn_is_refused():
    with pytest.raises(BadData, match="predicts a number"):
        linear.build(linear.Config(), SIGNATURE)
    with pytest.raises(BadData, match="takes no weights"):
        fitted(neighbours, weight=torch.arange(300.0))
    with pytest.raises(BadData, match="300 rows to learn from; it needs 301"):
        fitted(neighbours, neighbours=301)


@pytest.mark.security
@pytest.mark.parametrize("module", [tree, forest, extra_trees, gradient_boosting], ids=ids)
def test_a_forged_tree_is_refused(module):
    network = fitted(module)
    last = np.ravel(getattr(network.fitted, "estimators_", [network.fitted]))[-1]
    last.tree_.children_left[0] = 10_000
    with pytest.raises(BadData, match="outside itself"):
        module.build(module.Config(), SIGNATURE).restore(network.dump())


@pytest.mark.parametrize("module", [tree, forest, extra_trees, gradient_boosting, xgboost], ids=ids)
def test_the_column_that_decides_is_the_important_one(module):
    draw = np.random.default_rng(0)
    numbers = torch.from_numpy(draw.normal(size=(300, 2)).astype(np.float32))
    network = module.build(module.Config(), SIGNATURE)
    network.fit((numbers, torch.zeros(300, 1)), (numbers[:, 1] > 0).long() * 2, torch.ones(300))
    figures = network.figures(SIGNATURE)
    assert ("tree" in figures) == (module is tree)
    axes = figures["importance"].axes[0]
    assert axes.get_yticklabels()[0].get_text() == "b"
    shares = [bar.get_width() for bar in axes.patches]
    assert len(shares) == 3
    assert shares[0] > 0.8
    assert sum(shares) == pytest.approx(1)


def test_pixels_are_shown_at_their_places():
    described = signature(image(1, 2, 3), target(2))
    x = torch.rand(100, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    network = tree.build(tree.Config(depth=1), described)
    network.fit((x,), (x[:, 0, 1, 2] > 0.5).long(), torch.ones(100))
    shown = network.figures(described)["importance"].axes[0].images[0].get_array()
    np.testing.assert_allclose(shown, [[0, 0, 0], [0, 0, 1]])


def test_what_shows_no_columns_draws_nothing():
    assert fitted(neighbours).figures(SIGNATURE) == {}
    assert fitted(logistic).figures(SIGNATURE) == {}

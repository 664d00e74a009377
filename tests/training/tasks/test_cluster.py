import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score, silhouette_score
from torch import nn

from millstream.tracking.errors import BadData, WrongRecipe
from millstream.training.config.fit import Fit
from millstream.training.estimator_module import EstimatorModule
from millstream.training.networks.classical import forest, kmeans
from millstream.training.networks.mlp import mlp
from millstream.training.tasks.cluster import Cluster, Config
from tests.training.signatures import number, signature, target
from tests.training.tasks.made import batch, measured

MADE = signature(number("a"), number("b"), number("c"), target(4))


class ByLargest(nn.Module):
    """The cluster of a row is the place of its largest number; of none, where this is small."""

    def clusters(self, x_BD):
        largest = x_BD.max(dim=1)
        return torch.where(largest.values > -0.5, largest.indices, -1), -largest.values


def made(count=200, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, generator=draw), torch.randint(0, 4, (count,), generator=draw)


def test_metrics_are_those_of_scikit_learn_over_the_real_rows():
    x, label = made()
    task = Cluster(Config(against="label"), ByLargest(), MADE, Fit())
    found = measured(task, batch(x[:128], target=label[:128]), batch(x[128:], target=label[128:], real=40))
    number_B = ByLargest().clusters(x[:168])[0]
    near = number_B >= 0
    assert 0 < near.float().mean() < 1
    assert found["test/rand_index"] == pytest.approx(adjusted_rand_score(label[:168], number_B), abs=1e-6)
    assert found["test/silhouette"] == pytest.approx(silhouette_score(x[:168][near], number_B[near]), abs=1e-6)
    assert found["test/clustered"] == pytest.approx(float(near.float().mean()))
    assert found["test/loss"] == pytest.approx(-float(x[:168].max(dim=1).values.mean()), rel=1e-5)


def test_the_names_of_clusters_do_not_matter():
    x, _ = made()
    label = ByLargest().clusters(x)[0] + 1
    task = Cluster(Config(against="label"), ByLargest(), MADE, Fit())
    assert measured(task, batch(x, target=label))["test/rand_index"] == pytest.approx(1)


def test_one_cluster_has_no_silhouette_to_speak_of():
    x = torch.eye(3)[[0, 0, 0]]
    task = Cluster(Config(), ByLargest(), signature(number("a"), number("b"), number("c")), Fit())
    assert measured(task, batch(x)).items() >= {"test/silhouette": 0.0, "test/clustered": 1.0}.items()


def test_the_class_column_is_no_input_and_moves_no_centre():
    x, label = made()
    network = kmeans.build(kmeans.Config(clusters=3), MADE)
    network.fit((x,), label, torch.ones(200))
    other = kmeans.build(kmeans.Config(clusters=3), MADE)
    other.fit((x,), None, torch.ones(200))
    assert network.dump() == other.dump()
    task = Cluster(Config(against="label"), EstimatorModule(network), MADE, Fit()).eval()
    assert [field.name for field in MADE.inputs] == ["numbers"]
    assert np.array_equal(task.predict(x)["cluster"], network.clusters(x)[0])


def test_rows_are_drawn_by_cluster_by_class_and_by_their_neighbours():
    x, label = made(60)
    task = Cluster(Config(against="label", neighbour_map=40), ByLargest(), MADE, Fit())
    measured(task, batch(x, target=label))
    figures = task.figures()
    assert figures.keys() == {"clusters", "neighbour_map"}
    assert [axes.get_title() for axes in figures["clusters"].axes] == ["cluster", "class"]
    points = sum(len(one.get_offsets()) for one in figures["neighbour_map"].axes[0].collections)
    assert points == 40


@pytest.mark.bad_input
def test_what_cannot_be_clustered_is_refused():
    other = signature(number("a"), number("b"), number("c", role="target"))
    with pytest.raises(BadData, match="against 'c' is number; it has to be a class"):
        Cluster(Config(against="c"), ByLargest(), other, Fit())
    with pytest.raises(WrongRecipe, match="has no clusters, which the task cluster needs"):
        Cluster(Config(), mlp.build(mlp.Config(), MADE), MADE, Fit())
    with pytest.raises(WrongRecipe, match="learns a target, and the task cluster has none"):
        Cluster(Config(), EstimatorModule(forest.build(forest.Config(), MADE)), MADE, Fit())

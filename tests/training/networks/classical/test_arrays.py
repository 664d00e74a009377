"""Estimators that learn of the inputs alone, against scikit-learn itself and closed forms."""

import io
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy, multivariate_normal
from sklearn import cluster, decomposition, manifold, mixture, neighbors

from millstream.tracking.errors import BadData
from millstream.tracking.recipe.loader import load
from millstream.training.networks.classical import dbscan, gaussian_mixture, kernel_density, kmeans, pca, tsne
from tests.pipelines.sources import moons
from tests.training.signatures import image, number, signature

PLANE = signature(number("a"), number("b"))
CONFIGS = {
    kmeans: {"clusters": 3},
    gaussian_mixture: {"parts": 3},
    dbscan: {"radius": 0.6},
    kernel_density: {"deviation": 0.3},
    pca: {"parts": 1},
    tsne: {"perplexity": 10, "steps": 250},
}
MODULES = tuple(CONFIGS)


def ids(module):
    return module.__name__.rpartition(".")[2]


def rows(count=300, seed=0):
    """Three heaps in the plane."""
    draw = np.random.default_rng(seed)
    centres = np.array([[0, 0], [5, 0], [0, 5]])[draw.integers(0, 3, count)]
    return (centres + draw.normal(size=(count, 2))).astype(np.float32)


def fitted(module, x=None, **config):
    x = rows() if x is None else x
    network = module.build(module.Config(**CONFIGS[module] | config), PLANE)
    network.fit((torch.from_numpy(x),), None, torch.ones(len(x)))
    return network


def test_clusters_of_new_rows_are_those_of_scikit_learns_kmeans():
    new = rows(seed=1)
    oracle = cluster.KMeans(3, n_init=10, random_state=0).fit(rows().astype(np.float64))
    number_B, distance_B = fitted(kmeans).clusters(torch.from_numpy(new))
    assert np.array_equal(number_B, oracle.predict(new.astype(np.float64)))
    np.testing.assert_allclose(distance_B, oracle.transform(new).min(axis=1) ** 2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("covariance", ["full", "tied", "diagonal", "spherical"])
def test_a_mixture_is_the_sum_of_its_gaussians(covariance):
    x, new = rows().astype(np.float64), rows(seed=1)
    kind = gaussian_mixture.COVARIANCES[covariance][0]
    oracle = mixture.GaussianMixture(3, covariance_type=kind, max_iter=200, random_state=0).fit(x)
    full = {
        "full": oracle.covariances_,
        "tied": [oracle.covariances_] * 3,
        "diag": [np.diag(np.atleast_1d(one)) for one in oracle.covariances_],
        "spherical": [np.eye(2) * one for one in np.atleast_1d(oracle.covariances_).ravel()[:3]],
    }[kind]
    parts_KB = [
        share * multivariate_normal(mean, matrix).pdf(new)
        for share, mean, matrix in zip(oracle.weights_, oracle.means_, full, strict=True)
    ]
    network = fitted(gaussian_mixture, covariance=covariance)
    np.testing.assert_allclose(network(torch.from_numpy(new)), np.log(np.sum(parts_KB, axis=0)), rtol=1e-4, atol=1e-5)
    assert np.array_equal(network.clusters(torch.from_numpy(new))[0], np.argmax(parts_KB, axis=0))


def test_a_kernel_density_is_the_mean_of_gaussians_around_the_rows():
    new = rows(50, seed=1)
    squared = ((new[:, None].astype(np.float64) - rows()) ** 2).sum(axis=2)
    expected = np.log(np.exp(-squared / (2 * 0.3**2)).mean(axis=1) / (2 * np.pi * 0.3**2))
    np.testing.assert_allclose(fitted(kernel_density)(torch.from_numpy(new)), expected, rtol=1e-5, atol=1e-5)
    oracle = neighbors.KernelDensity(bandwidth=0.3).fit(rows()).score_samples(new)
    np.testing.assert_allclose(expected, oracle, rtol=1e-5)


def test_core_rows_are_in_the_clusters_of_scikit_learns_dbscan():
    x = rows()
    oracle = cluster.DBSCAN(eps=0.6).fit(x.astype(np.float64))
    found = fitted(dbscan).clusters(torch.from_numpy(x))[0]
    core = oracle.core_sample_indices_
    assert np.array_equal(found[core], oracle.labels_[core])
    assert np.array_equal(found < 0, oracle.labels_ < 0)


@given(st.integers(0, 1000))
def test_a_new_row_is_in_a_cluster_where_a_core_row_lies_within_the_radius(seed):
    network, new = fitted(dbscan), 4 * rows(20, seed)
    distance_BM = np.sqrt(((new[:, None].astype(np.float64) - network.fitted["core"]) ** 2).sum(axis=2))
    number_B, distance_B = network.clusters(torch.from_numpy(new))
    np.testing.assert_allclose(distance_B, distance_BM.min(axis=1), rtol=1e-6)
    assert np.array_equal(number_B >= 0, distance_BM.min(axis=1) <= 0.6)


def test_codes_are_those_of_scikit_learns_pca_and_lead_back_to_its_rows():
    x, new = np.random.default_rng(0).normal(size=(2, 60, 6)).astype(np.float32)
    columns = signature(*(number(name) for name in "abcdef"))
    network = pca.build(pca.Config(parts=2), columns)
    network.fit((torch.from_numpy(x),), None, torch.ones(60))
    oracle = decomposition.PCA(2).fit(x.astype(np.float64))
    codes = network.encode(torch.from_numpy(new))
    np.testing.assert_allclose(codes, oracle.transform(new), atol=1e-5)
    np.testing.assert_allclose(network.decode(codes), oracle.inverse_transform(codes), atol=1e-5)
    assert network.of_train()["variance_kept"] == pytest.approx(oracle.explained_variance_ratio_.sum())


def test_a_map_has_scikit_learns_places_for_rows_of_train_and_new_ones_stand_among_their_like():
    x, new = rows(), rows(seed=1)
    network = fitted(tsne, seed=3)
    learner = manifold.TSNE(perplexity=10, max_iter=250, init="pca", random_state=3)
    places = learner.fit_transform(x.astype(np.float64))
    np.testing.assert_array_equal(network.encode(torch.from_numpy(x)), places)
    np.testing.assert_allclose(network.decode(torch.from_numpy(places)), x, atol=1e-6)
    found = network.encode(torch.from_numpy(new))
    assert manifold.trustworthiness(new, found, n_neighbors=5) > 0.9
    assert np.abs(network.decode(found) - new).mean() < 0.5  # deviation of a heap: 1


@given(st.integers(0, 1000), st.floats(1.5, 20), st.floats(-6, 6))
def test_probabilities_fall_with_the_distance_and_have_the_perplexity(seed, perplexity, scale):
    squared = np.sort(10**scale * np.random.default_rng(seed).uniform(0.1, 1, (4, 40)), axis=1)
    found = tsne.probabilities(squared, perplexity)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(entropy(found, axis=1)), perplexity, rtol=1e-6)
    assert np.all(np.diff(found, axis=1) <= 0)
    # one precision for all neighbours of a row: the logarithm falls by the same for each unit of the square
    for probability, square in zip(found, squared, strict=True):
        seen = probability > 1e-250
        falls = (np.log(probability[seen]) - np.log(probability[0]))[1:] / (square[seen] - square[0])[1:]
        np.testing.assert_allclose(falls, falls[0], rtol=1e-6)


def test_neighbours_that_are_equally_far_have_equal_probabilities_and_a_row_that_is_met_has_all():
    np.testing.assert_allclose(tsne.probabilities(np.full((1, 8), 2.0), 3), np.full((1, 8), 1 / 8))
    met = np.array([[0, 0, 1, 4, 9, 16], [1, 2, 3, 4, 5, 6.0]])
    np.testing.assert_allclose(tsne.probabilities(met, 3)[0], [0.5, 0.5, 0, 0, 0, 0])
    assert tsne.probabilities(met, 3)[1].min() > 0


def test_the_recipes_mixture_comes_near_the_density_of_the_moons():
    located = load("classical/mixture-moons")
    written = {name: value for name, value in located.section("network").items() if name != "name"}
    (train, _), (new, _) = moons.rows(3500, seed=0), moons.rows(4000, seed=1)
    network = gaussian_mixture.build(gaussian_mixture.Config(**written), PLANE)
    network.fit((torch.from_numpy(train),), None, torch.ones(len(train)))
    exact = moons.log_density(new).mean()
    assert exact == pytest.approx(-1.0076, abs=0.035)  # three deviations of the mean of 4,000 rows
    assert exact - 0.05 < float(network(torch.from_numpy(new)).mean()) < exact


def test_the_density_of_the_moons_is_one():
    side = np.linspace(-2, 3, 101)
    grid = np.stack(np.meshgrid(side, side - 0.25), axis=-1).reshape(-1, 2)
    assert np.exp(moons.log_density(grid)).sum() * 0.05**2 == pytest.approx(1, abs=1e-6)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("module", "x", "config", "message"),
    [
        (kmeans, rows(4), {"clusters": 5}, "network classical/kmeans: 4 rows to learn from; it makes 5 clusters"),
        (kmeans, np.repeat(rows(2), 5, axis=0), {}, "2 different rows to learn from; it makes 3 clusters"),
        (gaussian_mixture, rows(2), {}, "network classical/gaussian_mixture: 2 rows to learn from; it makes 3 parts"),
        (gaussian_mixture, np.repeat(rows(4), 9, axis=0), {"floor": 0}, r"no width in some direction .*; raise floor"),
        (dbscan, rows(), {"radius": 1e-6}, r"none of 300 rows has 5 within 1e-06, .*; enlarge radius"),
        (pca, rows(1), {}, "all 1 rows are the same"),
        (pca, rows(), {"parts": 3}, "300 rows of 2 numbers have 2 parts; 3 are configured"),
        (pca, np.ones((5, 2), np.float32), {}, "all 5 rows are the same"),
        (tsne, rows(30), {}, "30 rows to learn from; with perplexity 10 it needs three times as many, and one more"),
    ],
)
def test_rows_in_which_nothing_can_be_found_are_refused_in_the_recipes_words(module, x, config, message):
    with pytest.raises(BadData, match=message):
        fitted(module, x, **config)


@pytest.mark.bad_input
def test_weights_of_rows_are_refused():
    network = kmeans.build(kmeans.Config(), PLANE)
    with pytest.raises(BadData, match="network classical/kmeans: takes no weights"):
        network.fit((torch.from_numpy(rows()),), None, torch.arange(300.0))


FORGED = {
    "of other columns": {"centres": np.zeros((3, 5))},
    "of another kind": {"centres": np.zeros((3, 2), np.complex128)},
    "without an end": {"centres": np.array([[np.inf, 0.0]])},
    "one array more": {"centres": np.zeros((3, 2)), "more": np.zeros(3)},
    "no array": {"centres": [[0.0, 0.0]]},
}


@pytest.mark.security
@pytest.mark.parametrize("case", FORGED)
def test_a_forged_state_is_refused(case):
    network = fitted(kmeans)
    network.fitted = FORGED[case]
    with pytest.raises(BadData, match="the file is damaged or forged"):
        kmeans.build(kmeans.Config(), PLANE).restore(network.dump())


@pytest.mark.security
def test_axes_of_one_name_are_of_one_length():
    network = fitted(dbscan)
    network.fitted = {**network.fitted, "cluster": network.fitted["cluster"][:-1]}
    with pytest.raises(BadData, match="cluster of shape"):
        dbscan.build(dbscan.Config(radius=0.6), PLANE).restore(network.dump())


def test_a_state_holds_arrays_and_no_object_of_a_library():
    for module in MODULES:
        with zipfile.ZipFile(io.BytesIO(fitted(module, rows(60)).dump())) as archive:
            assert "sklearn" not in archive.read("schema.json").decode()


def test_what_an_estimator_found_is_drawn():
    assert fitted(kmeans).figures(PLANE) == {}
    described = signature(image(1, 4, 4))
    x = torch.rand(50, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    drawn = {}
    for module in (kmeans, gaussian_mixture, pca):
        network = module.build(module.Config(), described)
        network.fit((x,), None, torch.ones(50))
        drawn[ids(module)] = set(network.figures(described))
    assert drawn == {"kmeans": {"centres"}, "gaussian_mixture": {"centres"}, "pca": {"variance_kept", "parts"}}

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.metrics import r2_score
from torch import nn

from millstream.tracking.errors import BadData, WrongRecipe
from millstream.training.config.fit import Fit
from millstream.training.estimator_module import EstimatorModule
from millstream.training.networks.classical import kmeans, pca
from millstream.training.tasks.reduce import Config, Reduce
from tests.training.signatures import category, image, number, signature, target
from tests.training.tasks.made import batch, measured, stepping

IMAGES = signature(image(1, 4, 4), target(3))


class Autoencoder(nn.Module):
    """A network that is trained by steps; what it makes again has the shape of an image."""

    def __init__(self, codes=2):
        super().__init__()
        self.into, self.back = nn.Linear(16, codes), nn.Linear(codes, 16)

    def encode(self, x):
        return self.into(x.flatten(start_dim=1))

    def decode(self, codes):
        return self.back(codes).reshape(-1, 1, 4, 4)


def images(count=200, seed=0):
    """Images of two patterns and some noise."""
    draw = torch.Generator().manual_seed(seed)
    patterns = torch.randn(2, 16, generator=torch.Generator().manual_seed(9))
    x = torch.randn(count, 2, generator=draw) @ patterns + 0.3 * torch.randn(count, 16, generator=draw)
    return x.reshape(count, 1, 4, 4)


def fitted(parts=2):
    network = pca.build(pca.Config(parts=parts), IMAGES)
    network.fit((images(),), None, torch.ones(200))
    return EstimatorModule(network)


def test_metrics_are_those_of_scikit_learn_on_new_rows():
    new = images(seed=1)
    label = torch.arange(200) % 3
    task = Reduce(Config(colour="label"), fitted(), IMAGES, Fit())
    found = measured(task, batch(new[:128], target=label[:128]), batch(new[128:], target=label[128:], real=40))
    oracle = PCA(2).fit(images().flatten(start_dim=1).double())
    x = new[:168].flatten(start_dim=1).double().numpy()
    again = oracle.inverse_transform(oracle.transform(x))
    assert found["test/variance_kept"] == pytest.approx(r2_score(x, again, multioutput="variance_weighted"), abs=1e-6)
    codes = torch.from_numpy(oracle.transform(x))
    assert found["test/trustworthiness"] == pytest.approx(trustworthiness(x, codes, n_neighbors=12), abs=1e-4)
    assert 0 < found["test/neighbour_accuracy"] < 1
    assert found["test/mse"] == found["test/loss"] == pytest.approx(np.mean((x - again) ** 2), rel=1e-4)
    figures = task.figures()
    assert figures.keys() == {"variance_kept", "parts", "codes", "reconstructions"}


def test_all_parts_keep_all_and_the_mean_alone_keeps_nothing():
    x = images(20)
    kept = []
    for network in (fitted(16), Autoencoder()):
        if isinstance(network, Autoencoder):
            network.back.weight.data.zero_()
            network.back.bias.data = x.flatten(start_dim=1).mean(dim=0)
        task = Reduce(Config(), network, signature(image(1, 4, 4)), Fit())
        kept.append(measured(task, batch(x))["test/variance_kept"])
    np.testing.assert_allclose(kept, [1, 0], atol=1e-6)


def test_a_trained_network_comes_near_the_principal_parts_and_not_beyond():
    torch.manual_seed(0)
    network, x = Autoencoder(), images()
    task = Reduce(Config(), network, signature(image(1, 4, 4)), Fit(optimizer={"name": "adam", "lr": 0.03}))
    stepping(task, 300)
    for at in range(300):
        task.training_step(batch(x), at)
    network.eval()
    found = measured(task, batch(x))["test/variance_kept"]
    best = fitted().estimator.of_train()["variance_kept"]
    assert best - 0.01 < found <= best + 1e-5


def test_the_registered_model_returns_codes_and_how_well_they_bring_a_row_back():
    new = images(5, seed=1)
    task = Reduce(Config(), fitted(3), signature(image(1, 4, 4)), Fit())
    found = task.predict(new)
    again = task.network.decode(torch.tensor(np.stack(found["code"])))
    expected = (again - new.flatten(start_dim=1)).square().mean(dim=1)
    np.testing.assert_allclose(found["reconstruction_error"], expected, rtol=1e-4)
    assert np.stack(found["code"]).shape == (5, 3)


def test_rows_that_are_all_the_same_have_nothing_to_keep():
    task = Reduce(Config(), fitted(), signature(image(1, 4, 4)), Fit())
    assert measured(task, batch(torch.ones(9, 1, 4, 4)))["test/variance_kept"] == 0


@pytest.mark.bad_input
def test_what_cannot_be_encoded_in_few_numbers_is_refused():
    with pytest.raises(BadData, match=r"task reduce: categories \(category\): no amounts"):
        Reduce(Config(), fitted(), signature(number("a"), category("c", 3)), Fit())
    with pytest.raises(BadData, match="colour 'b' is number; it has to be a class"):
        Reduce(Config(colour="b"), fitted(), signature(number("a"), number("b", role="target")), Fit())
    with pytest.raises(WrongRecipe, match="has no encode and no decode, which the task reduce needs"):
        Reduce(Config(), EstimatorModule(kmeans.build(kmeans.Config(), IMAGES)), IMAGES, Fit())

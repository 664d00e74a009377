import pytest
import torch

from millstream.training.config.averaging import EMA, SWA
from tests.training.fitted import BATCHES, Steps, fitted, rows, state

NETWORK = {"name": "mlp/mlp", "hidden": [8], "norm": "batch"}


class Looks(Steps):
    """Also what stood in the network's place at each validation."""

    def __init__(self):
        super().__init__()
        self.looked_at = []

    def on_validation_epoch_end(self, trainer, task):
        self.looked_at.append(state(task.network))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return rows(tmp_path_factory.mktemp("rows"))


def same(found, expected, **tolerance):
    for name, value in found.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, expected[name], **tolerance)


def test_an_exponential_mean_is_the_recursion_and_is_what_is_looked_at(tmp_path, dataset):
    seen = Looks()
    found = fitted(tmp_path, dataset, seen, network=NETWORK, fit={"average": {"name": "ema", "decay": 0.9}})
    mean = seen.weights[0]
    for step, weights in enumerate(seen.weights):
        mean = {name: 0.9 * mean[name] + 0.1 * value if step else value for name, value in weights.items()}
        if (step + 1) % BATCHES == 0:
            same(seen.looked_at[step // BATCHES], mean, rtol=1e-5, atol=1e-6)
    same(state(found.network), mean, rtol=1e-5, atol=1e-6)
    assert found.metrics["valid/loss"] == pytest.approx(found.history.curves["valid/loss"][-1][1], rel=1e-6)
    # the weights that are trained are not the mean's
    assert not torch.equal(seen.weights[-1]["layers.0.weight"], found.network.layers[0].weight)


def test_a_plain_mean_is_that_of_the_ends_of_the_last_epochs(tmp_path, dataset):
    seen = Looks()
    fit = {"epochs": 5, "average": {"name": "swa", "start": 0.4}}
    found = fitted(tmp_path, dataset, seen, network=NETWORK, fit=fit)
    ends = seen.weights[BATCHES - 1 :: BATCHES]
    assert len(ends) == 5
    mean = {name: torch.stack([end[name] for end in ends[2:]]).double().mean(dim=0) for name in ends[0]}
    same(state(found.network), {name: value.float() for name, value in mean.items()}, rtol=1e-5, atol=1e-6)
    # before the first that is taken there is no mean
    same(seen.looked_at[1], ends[1], rtol=0, atol=0)


@pytest.mark.parametrize("average", [EMA(name="ema", decay=0.5), SWA(name="swa", start=0.0)], ids=["ema", "swa"])
def test_training_itself_does_not_see_the_mean(tmp_path, dataset, average):
    plain, averaged = Steps(), Steps()
    fitted(tmp_path / "plain", dataset, plain, network=NETWORK)
    fitted(tmp_path / "averaged", dataset, averaged, network=NETWORK, fit={"average": average.model_dump()})
    for one, other in zip(plain.weights, averaged.weights, strict=True):
        same(one, other, rtol=0, atol=0)


def test_the_best_mean_is_kept(tmp_path, dataset):
    seen = Looks()
    fit = {
        "epochs": 6,
        "average": {"name": "ema", "decay": 0.7},
        "keep": "best",
        "optimizer": {"name": "sgd", "lr": 3.0},
    }
    found = fitted(tmp_path, dataset, seen, fit=fit)
    courses = [value for _, value in found.history.curves["valid/loss"]]
    best = courses.index(min(courses))
    assert best < len(courses) - 1  # else it would be the last
    same(state(found.network), seen.looked_at[best], rtol=0, atol=0)

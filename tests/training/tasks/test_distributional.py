import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from millstream.tracking.dataset.records import Affine
from millstream.tracking.errors import WrongRecipe
from millstream.training.assembly import model_folder
from millstream.training.checkpoints import archive
from millstream.training.config.fit import Fit
from millstream.training.networks.mlp import mlp
from millstream.training.tasks.distributional import Config, Distributional
from tests.datasets import make_dataset
from tests.training.fitted import fitted
from tests.training.signatures import number, signature, target
from tests.training.tasks.made import batch, measured

SCALE = Affine(offset=40.0, factor=1 / 16)
PRICES = signature(number("a"), number("price", role="target", affine=SCALE))
GAUSSIAN = {"name": "gaussian", "floor": 0.1}


def task(network=None, made=PRICES, **fields):
    config = Config(target="price", **{"head": GAUSSIAN, **fields})
    return Distributional(config, network or nn.Identity(), made, Fit())


def made_outputs(rows=30):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, 2, generator=generator), torch.randn(rows, generator=generator)


def normal(outputs):
    """The distribution of the raw target, written out."""
    mean, spread = outputs.double().numpy().T
    return stats.norm(mean * 16 + 40, (np.log1p(np.exp(spread)) + 0.1) * 16)


def test_metrics_are_those_of_the_distribution_in_raw_units():
    outputs, true = made_outputs()
    found = measured(task(), batch(outputs, target=true, real=23))
    expected, raw = normal(outputs[:23]), true[:23].double().numpy() * 16 + 40
    log_likelihood = expected.logpdf(raw).mean()
    low, high = expected.interval(0.9)
    assert found == pytest.approx(
        {
            # the scaled density is wider by the factor of the scaling
            "test/loss": -(log_likelihood + np.log(16)),
            "test/log_likelihood": log_likelihood,
            "test/rmse": np.sqrt(np.square(expected.mean() - raw).mean()),
            "test/coverage": ((low <= raw) & (raw <= high)).mean(),
        },
        rel=1e-4,
    )


def test_scaling_the_target_leaves_its_likelihood_as_it_is():
    raw = torch.linspace(20, 60, 9)
    found = []
    for factor in (1.0, 1 / 16, 3.0):
        scale = Affine(offset=40.0, factor=factor)
        made = signature(number("a"), number("price", role="target", affine=scale))
        # N(45, 8**2) in raw units, predicted in scaled ones
        outputs = torch.tensor([[5.0 * factor, np.log(np.expm1(8.0 * factor - 1e-3))]]).repeat(9, 1)
        head = {"name": "gaussian", "floor": 1e-3}
        found.append(measured(task(made=made, head=head), batch(outputs, target=(raw - 40) * factor)))
    for one in found:
        assert one["test/log_likelihood"] == pytest.approx(stats.norm(45, 8).logpdf(raw.numpy()).mean(), rel=1e-5)


def test_predictions_are_the_distribution_in_raw_units():
    outputs, _ = made_outputs()
    found, expected = task(interval=0.8).predict(outputs), normal(outputs)
    low, high = expected.interval(0.8)
    for name, values in {"prediction": expected.mean(), "deviation": expected.std(), "low": low, "high": high}.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4)


@pytest.mark.parametrize("head", [GAUSSIAN, {"name": "mixture", "parts": 4}, {"name": "dropout", "precision": 9.0}])
def test_a_network_has_as_many_numbers_as_its_head_reads(head):
    config = Config(target="price", head=head)
    network = mlp.build(mlp.Config(dropout=0.1), Distributional.network_signature(config, PRICES))
    made = Distributional(config, network, PRICES, Fit())
    loss_B, _ = made.rows(batch(torch.randn(5, 1), target=torch.randn(5)))
    assert loss_B.shape == (5,)
    loss_B.mean().backward()
    last = network.layers[-1].weight
    assert len(last) == config.head.outputs
    assert bool((last.grad.abs().sum(dim=1) > 0).all())


def test_dropout_is_trained_on_one_draw_and_predicts_from_many_and_twice_the_same():
    torch.manual_seed(0)
    head = {"name": "dropout", "precision": 25.0, "passes": 20}
    config = Config(target="price", head=head)
    network = mlp.build(mlp.Config(dropout=0.3), Distributional.network_signature(config, PRICES))
    made = Distributional(config, network, PRICES, Fit())
    x = torch.randn(5, 1)
    assert made.train().distribution((x,)).mixture_distribution.logits.shape == (5, 1)
    assert made.eval().distribution((x,)).mixture_distribution.logits.shape == (5, 20)
    with torch.no_grad():
        first, again = made.predict(x), made.predict(x)
    np.testing.assert_array_equal(first["high"], again["high"])
    # the passes differ, so that a row is predicted less surely than the noise alone would have it
    assert bool((first["deviation"] > 16 / 5).all())


def test_what_is_predicted_is_drawn_with_its_interval():
    made = task(nn.Linear(1, 2))
    x = torch.linspace(-1, 1, 20)[:, None]
    measured(made, batch(x, target=x[:, 0]))
    assert made.figures().keys() == {"residuals", "fit", "calibration"}


@pytest.mark.parametrize("head", [GAUSSIAN, {"name": "mixture", "parts": 2}, {"name": "dropout", "precision": 9.0}])
def test_a_trained_distribution_is_saved_and_predicted_again_and_its_course_continues_after_a_break(tmp_path, head):
    draw = np.random.default_rng(0)
    splits = {}
    for split, count in {"train": 60, "valid": 20, "test": 20}.items():
        a = draw.normal(size=count)
        splits[split] = {"a": a, "price": 40 + 16 * (a + 0.3 * draw.normal(size=count))}
    columns = [number("a"), number("price", role="target", affine=SCALE)]
    dataset = make_dataset(tmp_path, splits, columns, shard_rows=25)
    sections = {
        "task": {"name": "distributional", "target": "price", "head": head},
        "network": {"name": "mlp/mlp", "hidden": [8], "dropout": 0.1},
        "fit": {"epochs": 3, "checkpoint_every": 1, "keep_last": 1000},
    }
    whole = fitted(tmp_path / "whole", dataset, **sections)
    start = archive.newest_first(whole.job.folder)[4]
    again = fitted(tmp_path / "again", dataset, start=start, **sections)
    assert again.metrics == whole.metrics
    torch.testing.assert_close(again.job.task.course, whole.job.task.course, rtol=0, atol=0)
    assert len(whole.job.task.course) == 4  # three epochs, and the kept weights
    saved = model_folder.save(tmp_path / "model", whole.job.located, whole.job.task, None)
    x = torch.randn(4, 1)
    with torch.no_grad():
        expected, found = whole.job.task.eval().predict(x), model_folder.load(tmp_path / "model").task.predict(x)
    assert list(found) == list(saved.task.outputs)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.bad_input
def test_a_class_is_refused_and_so_is_dropout_without_any():
    with pytest.raises(WrongRecipe, match="not one number a row"):
        task(made=signature(number("a"), target(3)))
    with pytest.raises(WrongRecipe, match="leaves no units out"):
        task(nn.Linear(1, 1), head={"name": "dropout", "precision": 1.0})

"""Every task and network with weights and batches on a device that is not the CPU: the same values, and no mixing."""

import numpy as np
import pytest
import pytorch_lightning as lightning
import torch

from millstream.training.assembly import model_folder
from millstream.training.assembly.validate import task_class
from millstream.training.callbacks.row_outcomes import RowOutcomes
from millstream.training.callbacks.run_logger import History
from millstream.training.checkpoints import archive
from millstream.training.config.fit import Fit
from millstream.training.estimator_module import EstimatorModule
from millstream.training.explain import loss_surface
from millstream.training.feed.batch import Batch
from millstream.training.loop import train
from millstream.training.loop.evaluate import measure
from millstream.training.loop.trainer import fitting
from millstream.training.optimization import rng
from millstream.training.tasks.classify import Classify
from millstream.training.tensors import as_numpy
from tests.other_device import DEVICE, HOST, strategy
from tests.training.compatible import FIT, SIGNATURES, TASKS, batch, found, pairs, tiny
from tests.training.fitted import fitted, images, job_of, rows
from tests.training.tasks.made import measured, stepping

ROWS = 6
SGD = {"name": "sgd", "lr": 0.01}
"""Its step follows the gradient. Adam's is as large for one of rounding alone, as a bias has before a batch norm."""
STEADY = Fit.model_validate(FIT.model_dump() | {"optimizer": SGD})


pytestmark = pytest.mark.usefixtures("one_thread")


def through(pair, device):
    """The task after a training step, a validation and a test, and all the numbers of these and of predictions."""
    task, given = pair.task_fitted(STEADY).to(device), batch(pair.signature, ROWS).to(device)
    rng.seed(0)
    numbers = {}
    if not isinstance(task.network, EstimatorModule):
        stepping(task)
        numbers = {name: float(loss) for name, loss in task.train().training_step(given, 0).items()}
    numbers |= measured(task, given)
    with torch.inference_mode():
        task.validation_step(given, 0)
        task.on_validation_epoch_end()
        loss_B, output = task.evaluate(given)
        outcomes = {"loss": loss_B, **task.outcomes(output, given)}
        numbers |= {f"outcomes {name}": as_numpy(values) for name, values in outcomes.items()}
        numbers |= task.predict(*given.arguments)
        if task.generated:
            numbers |= task.generate(3, 0)
    return task, numbers


def same(numbers, expected):
    assert numbers.keys() == expected.keys()
    for name, values in expected.items():
        if isinstance(values, list) and isinstance(values[0], str | list):
            assert numbers[name] == values
        else:
            np.testing.assert_allclose(
                np.asarray(numbers[name]), np.asarray(values), rtol=1e-3, atol=1e-5, err_msg=name
            )


@pytest.mark.parametrize("pair", pairs(), ids=str)
def test_a_task_and_a_network_have_the_same_numbers_on_a_device(pair):
    task, numbers = through(pair, DEVICE)
    same(numbers, through(pair, HOST)[1])
    drawn = task.figures().keys()
    # Lightning moves the weights back after a test, and what a task has kept of its batches stays
    assert task.cpu().figures().keys() == drawn
    task.films()


PLANTED = {
    "a generator of the CPU": lambda x: torch.rand(x.shape, device=x.device, generator=torch.Generator()),
    "a tensor made without a device": lambda x: x + torch.zeros(x.shape),
    "an array of what was not copied to the CPU": lambda x: x.detach().numpy(),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_mixing_that_is_planted_into_a_task_is_found(monkeypatch, fault):
    honest = Classify.rows

    def planted(task, given):
        PLANTED[fault](given.arguments[0])
        return honest(task, given)

    monkeypatch.setattr(Classify, "rows", planted)
    through(pair_for("classify", "mlp/mlp"), HOST)
    with pytest.raises((RuntimeError, TypeError), match="other:0"):
        through(pair_for("classify", "mlp/mlp"), DEVICE)


def pair_for(task, network):
    return next(pair for pair in pairs() if (pair.task, pair.network) == (task, network))


EVERYTHING = {
    "optimizer": SGD,
    "keep": "best",
    "average": {"name": "ema", "decay": 0.5},
    "schedule": {"name": "plateau"},
    "clip": 1.0,
    "l2": 1e-3,
    "accumulate": 2,
    "nan": "skip",
    "epochs": 2,
}
NETWORK = {"name": "cnn/lenet", "channels": [4, 4], "hidden": [8, 8], "norm": "batch", "dropout": 0.2}
AGENTS = [name for name in TASKS if "environment" in task_class(found("tasks", name)).learns_from]


class Devices(lightning.Callback):
    """Where the weights and the batches of training and test were."""

    def __init__(self):
        self.seen = set()

    def on_train_batch_end(self, trainer, task, outputs, batch, index):
        self.seen |= {one.device for one in task.network.parameters()}
        self.seen |= {batch.mask_B.device} if isinstance(batch, Batch) else set()

    def on_test_batch_end(self, trainer, task, outputs, batch, *rest):
        self.on_train_batch_end(trainer, task, outputs, batch, 0)


@pytest.fixture
def trainer_on_device(monkeypatch):
    """Lightning's Trainer as on a machine with a GPU: weights and batches on the device in training and tests."""
    usual = lightning.Trainer
    monkeypatch.setattr(lightning, "Trainer", lambda **options: usual(strategy=strategy(), **options))


def test_a_run_on_a_device_resumes_from_a_checkpoint_of_the_cpu_to_the_same_weights(tmp_path, request):
    dataset = images(tmp_path)
    whole = fitted(tmp_path / "whole", dataset, network=NETWORK, fit=EVERYTHING | {"keep_last": 9})
    start = archive.newest_first(whole.job.folder)[-1]
    request.getfixturevalue("trainer_on_device")
    devices = Devices()
    again = fitted(tmp_path / "again", dataset, devices, start=start, network=NETWORK, fit=EVERYTHING)
    assert devices.seen == {DEVICE}
    for name, value in again.network.state_dict().items():
        torch.testing.assert_close(value, whole.network.state_dict()[name], rtol=1e-4, atol=1e-5)
    assert again.metrics == pytest.approx(whole.metrics, rel=1e-4)
    train._draw(again.job, again.history, test=True)
    assert {"learning_curves", "confusion", "activation_maps"} <= again.run.figures.keys()
    # its own checkpoints are of the host's tensors, for any machine
    kept = archive.load(archive.newest_first(again.job.folder)[0])["state_dict"]
    assert {one.device for one in kept.values()} == {HOST}
    model = model_folder.save(tmp_path / "model", again.job.located, again.job.task, dataset.manifest)
    outcomes = RowOutcomes()
    assert measure(model, dataset, watching=[outcomes]).metrics == pytest.approx(
        {name: value for name, value in again.metrics.items() if name.startswith("test/")}, rel=1e-4
    )
    assert len(outcomes.sorted()["correct"]) == 15


@pytest.mark.usefixtures("trainer_on_device")
def test_an_estimator_that_was_fitted_on_the_cpu_is_tested_on_a_device(tmp_path):
    job = job_of(tmp_path / "job", rows(tmp_path), network={"name": "classical/tree"})
    train._fit_whole(job)
    assert train._measure(job, fitting(job, History()), test=True)["test/accuracy"] > 0.5
    train._draw(job, History(), test=True)


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_acts_and_learns_on_a_device_as_on_the_cpu(name, tmp_path, request):
    sections = {
        "data": None,
        "environment": {"name": "gymnasium", "id": "CartPole-v1"},
        "task": {"name": name, **tiny(found("tasks", name)).model_dump(exclude_defaults=True)},
        "fit": {"epochs": 2, "batch_size": 8},
    }
    on_cpu = fitted(tmp_path / "cpu", None, **sections)
    request.getfixturevalue("trainer_on_device")
    devices = Devices()
    on_device = fitted(tmp_path / "device", None, devices, **sections)
    assert devices.seen == {DEVICE}
    assert on_device.metrics == pytest.approx(on_cpu.metrics, rel=1e-4)
    assert on_device.job.task.figures()
    task = on_device.job.task.to(DEVICE)
    observation = torch.zeros(2, 4)
    same(task.predict(observation.to(DEVICE)), task.cpu().predict(observation))


def test_the_loss_surface_is_drawn_around_weights_on_a_device(monkeypatch):
    monkeypatch.setattr(loss_surface, "GRID", 3)
    task, rows = pair_for("regress", "mlp/mlp").build().to(DEVICE), batch(SIGNATURES["numbers, target 2"], ROWS)
    task.network = torch.nn.Linear(2, 1, bias=False, device=DEVICE)
    before = task.network.weight.tolist()
    assert loss_surface.surface(task, rows, [[0.0, 0.0], [1.0, 1.0]]).axes
    assert task.network.weight.tolist() == before

import numpy as np
import pytest
import pytorch_lightning as lightning
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as entropy

from millstream.training.assembly import model_folder
from millstream.training.assembly.validate import faults
from millstream.training.config.fit import Fit
from millstream.training.config.optimizers import SGD
from millstream.training.networks.generative import gan
from millstream.training.objectives.adversarial import fooling_loss, made_loss, real_loss
from millstream.training.tasks.adversarial import Adversarial, Config
from tests.training.fitted import BATCHES, fitted, located, state
from tests.training.fitted import images as halves
from tests.training.signatures import image, signature
from tests.training.tasks.made import batch, measured, stepping


def task(**config):
    torch.manual_seed(0)
    made = signature(image(1, 8, 8))
    network = gan.build(gan.Config(latent=3, channels=2, dropout=0.0), made)
    return Adversarial(Config(**config), network, made, Fit(optimizer=SGD(name="sgd", lr=0.1)))


def test_losses_are_cross_entropies():
    logits = torch.randn(9)
    one, zero = torch.ones(9), torch.zeros(9)
    torch.testing.assert_close(real_loss(logits, 0.0), entropy(logits, one, reduction="none"))
    torch.testing.assert_close(real_loss(logits, 0.1), entropy(logits, 0.9 * one, reduction="none"))
    torch.testing.assert_close(made_loss(logits), entropy(logits, zero, reduction="none"))
    torch.testing.assert_close(fooling_loss(logits), entropy(logits, one, reduction="none"))


def test_a_step_moves_each_network_by_its_own_loss():
    made = task(discriminator_rate=0.5)
    network = made.network
    stepping(made)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    images = torch.rand(6, 1, 8, 8)

    torch.manual_seed(5)
    noise_images = network.generator(torch.randn(6, 3)).detach()
    loss = (real_loss(network(images), 0.1) + made_loss(network(noise_images))).mean()
    wanted = torch.autograd.grad(loss, list(network.discriminator.parameters()))

    torch.manual_seed(5)
    logged = made.training_step(batch(images), 0)
    after = dict(network.discriminator.named_parameters())
    for gradient, (name, value) in zip(wanted, after.items(), strict=True):
        torch.testing.assert_close(value, before[f"discriminator.{name}"] - 0.05 * gradient, rtol=1e-4, atol=1e-6)
    assert any(
        not torch.equal(value, before[f"generator.{name}"]) for name, value in network.generator.named_parameters()
    )
    assert logged.keys() == {"train/loss", "train/generator_loss"}
    torch.testing.assert_close(logged["train/loss"], loss.detach())


@pytest.fixture(scope="module")
def five_to_one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gan")
    steps, network = Stepped(), {"name": "generative/gan", "latent": 3, "channels": 2}
    fit = {
        "epochs": 3,
        "schedule": {"name": "cosine"},
        "optimizer": {"name": "adam", "lr": 1e-3},
        "optimizers": {"discriminator": {"name": "sgd", "lr": 0.1, "momentum": 0.9}},
    }
    task = {"name": "adversarial", "discriminator_steps": 5}
    return fitted(folder, halves(folder / "data"), steps, task=task, network=network, fit=fit), steps


class Stepped(lightning.Callback):
    """Which network each batch moved, and which batches came."""

    def __init__(self):
        self.moved, self.before, self.batches = [], {}, []

    def on_train_batch_start(self, trainer, task, batch, index):
        self.before = state(task.network)
        self.batches.append((batch.epoch, batch.index))

    def on_train_batch_end(self, trainer, task, outputs, batch, index):
        after, weights = state(task.network), dict(task.network.named_parameters())
        changed = {name.partition(".")[0] for name in weights if not torch.equal(after[name], self.before[name])}
        self.moved.append(changed)


def test_the_generator_moves_with_each_fifth_batch_and_the_discriminator_with_each(five_to_one):
    _, steps = five_to_one
    assert len(set(steps.batches)) == len(steps.batches) == 3 * BATCHES
    assert ["generator" in moved for moved in steps.moved[:-1]] == [(at + 1) % 5 == 0 for at in range(3 * BATCHES - 1)]
    assert all("discriminator" in moved for moved in steps.moved[:-1])  # the rate of the last step is 0


def test_each_optimizer_is_of_its_own_kind_and_its_schedule_ends_with_its_last_step(five_to_one):
    found, _ = five_to_one
    generator, discriminator = found.trainer.optimizers
    assert isinstance(generator, torch.optim.Adam)
    assert isinstance(discriminator, torch.optim.SGD)
    schedules = [one.scheduler for one in found.trainer.lr_scheduler_configs]
    assert [one.last_epoch for one in schedules] == [3, 15]
    assert [one.get_last_lr()[0] for one in schedules] == pytest.approx([0.0, 0.0], abs=1e-9)


def test_the_losses_of_an_epoch_are_means_over_the_steps_of_each(five_to_one):
    found, _ = five_to_one
    curves = found.history.curves
    assert len(curves["train/loss"]) == len(curves["train/generator_loss"]) == 3


def test_drawn_images_follow_from_the_seed(five_to_one):
    found, _ = five_to_one
    first, again, other = (np.asarray(found.job.task.generate(4, seed)["image"]) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (4, 64)
    assert first.min() >= 0
    assert first.max() <= 1


def test_a_registered_generator_draws_by_the_params_of_mlflow(five_to_one, tmp_path):
    job = five_to_one[0].job
    model_folder.save(tmp_path / "model", job.located, job.task, job.source.manifest)
    example = job.source.example()
    made = model_folder.load(tmp_path / "model").predict(example, {"generate": 3, "seed": 1})
    assert list(made.columns) == ["image"]
    np.testing.assert_allclose(np.stack(made["image"]), np.stack(job.task.generate(3, 1)["image"]), rtol=1e-6)
    assert list(model_folder.load(tmp_path / "model").predict(example).columns) == ["real"]


@pytest.mark.bad_input
def test_an_optimizer_of_a_part_that_the_task_has_not_is_refused_with_the_nearest_name(tmp_path):
    optimizers = {"discriminater": {"name": "sgd", "lr": 0.1}}
    network = {"name": "generative/gan"}
    recipe = located(tmp_path, task={"name": "adversarial"}, network=network, fit={"optimizers": optimizers})
    (fault,) = faults(recipe)
    assert "did you mean 'discriminator'" in fault.message


def test_the_accuracy_counts_real_and_made_images_alike():
    made = task()
    made.network.forward = lambda x: torch.full((len(x),), 3.0)  # takes everything for real
    assert measured(made, batch(torch.rand(6, 1, 8, 8), real=4))["test/accuracy"] == 0.5

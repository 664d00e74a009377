import torch
from torch.nn.functional import binary_cross_entropy_with_logits as entropy

from millstream.training.config.fit import Fit
from millstream.training.config.optimizers import SGD
from millstream.training.networks.generative import gan
from millstream.training.objectives.adversarial import fooling_loss, made_loss, real_loss
from millstream.training.tasks.adversarial import Adversarial, Config
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
    told = made.training_step(batch(images), 0)
    after = dict(network.discriminator.named_parameters())
    for gradient, (name, value) in zip(wanted, after.items(), strict=True):
        torch.testing.assert_close(value, before[f"discriminator.{name}"] - 0.05 * gradient, rtol=1e-4, atol=1e-6)
    assert any(
        not torch.equal(value, before[f"generator.{name}"]) for name, value in network.generator.named_parameters()
    )
    assert told.keys() == {"train/loss", "train/generator_loss"}
    torch.testing.assert_close(told["train/loss"], loss.detach())


def test_the_accuracy_counts_real_and_made_images_alike():
    made = task()
    made.network.forward = lambda x: torch.full((len(x),), 3.0)  # takes everything for real
    assert measured(made, batch(torch.rand(6, 1, 8, 8), real=4))["test/accuracy"] == 0.5

import torch

from millstream.training.networks.generative import vae
from millstream.training.networks.generative.vae import Config
from tests.training.signatures import image, signature


def test_without_a_draw_the_mean_of_the_codes_is_decoded():
    network = vae.build(Config(latent=3), signature(image(1, 4, 4)))
    x = torch.rand(5, 1, 4, 4)
    torch.testing.assert_close(network(x), network.decode(network.encode(x)[0]))


def test_the_papers_size_for_mnist():
    network = vae.build(Config(latent=20, hidden=(500,)), signature(image(1, 28, 28)))
    # 784x500 and back, 500x20 twice and 20x500, with their biases (Kingma & Welling 2014, appendix C.1)
    expected = (784 * 500 + 500) + 2 * (500 * 20 + 20) + (20 * 500 + 500) + (500 * 784 + 784)
    assert sum(one.numel() for one in network.parameters()) == expected

"""Whatever data a network is built for: it reads them, or is refused with the reason in words of the recipe."""

import itertools

import pytest
import torch

from millstream.tracking.errors import BadData, WrongRecipe
from millstream.tracking.recipe import plugins
from millstream.training.estimator import Estimator
from millstream.training.feed.batch import Ragged
from tests.training.signatures import category, image, number, signature, target, tokens

DATA = {
    "numbers": [number("a"), number("b")],
    "one number": [number("a")],
    "a category": [category("colour", 4)],
    "an image of one pixel": [image(1, 1, 1)],
    "an image": [image(3, 8, 8)],
    "a larger image": [image(3, 32, 32)],
    "an odd image": [image(1, 7, 5)],
    "an image and a number": [image(3, 8, 8), number("a")],
    "tokens": [tokens(3, 5)],
}
TARGETS = [], [target(1)], [target(3)], [number("y", role="target")]
NEEDED = {"classical/dbscan": {"radius": 0.2}, "classical/kernel_density": {"deviation": 0.1}}
"""Fields that have no default."""

ENLARGE = {"cnn/espcn", "cnn/srcnn", "cnn/srresnet", "cnn/vdsr"}
"""Those that need an image as target."""


def example(field):
    if field.meaning == "tokens":
        return Ragged(torch.randint(2, 5, (2, *field.shape)), torch.tensor([1, 3]))
    if field.meaning == "category":
        return torch.randint(0, 4, (2, *field.shape))
    return torch.rand(2, *field.shape)


@pytest.mark.bad_input
@pytest.mark.parametrize("name", plugins.names("millstream.training.networks"))
def test_a_network_reads_the_data_or_is_refused_with_the_reason(name):
    module = plugins.find("millstream.training.networks", name)
    config = module.Config(**NEEDED.get(name, {}))
    read = 0
    for data, targets in itertools.product(DATA.values(), TARGETS):
        described = signature(*data, *targets)
        try:
            network = module.build(config, described)
        except (BadData, WrongRecipe):
            continue
        read += 1
        if not isinstance(network, Estimator):
            found = network.eval()(*(example(field) for field in described.inputs))
            assert torch.is_tensor(found) or isinstance(found, tuple)
    assert read or name in ENLARGE

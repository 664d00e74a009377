import numpy as np
import pytest
import torch

from millstream.training.config.fit import Fit
from millstream.training.explain import recurrence
from millstream.training.networks.rnn import recurrent
from millstream.training.tasks.regress import Config, Regress
from tests.training.signatures import number, series, signature
from tests.training.tasks.made import batch

STEPS, ROWS = 7, 5


def task(**config):
    torch.manual_seed(0)
    held = signature(series("x", STEPS, 2), number("y", "target"))
    network = recurrent.build(recurrent.Config(hidden=4, **config), held)
    return Regress(Config(target="y"), network, held, Fit())


def rows(seed=0):
    draw = torch.Generator().manual_seed(seed)
    return batch(torch.randn(ROWS, STEPS, 2, generator=draw), target=torch.randn(ROWS, generator=draw))


@pytest.mark.parametrize("unrolled", [False, True])
def test_norms_are_those_of_a_product_of_jacobians(unrolled):
    found = task(cell="rnn", unrolled=unrolled)
    given, network = rows(), found.network
    layer = network.recurrent.cells[0].fused
    outputs, _ = layer(given.arguments[0])
    guess = network.head(outputs[:, -1])[:, 0]
    expected = np.zeros((ROWS, STEPS))
    for row in range(ROWS):
        # d loss / d h_T, then one Jacobian diag(1 - h**2) W a step backwards
        slope = 2 * (guess[row] - given.truth[row]) * network.head.weight[0]
        for at in reversed(range(STEPS)):
            expected[row, at] = float(slope.detach().norm())
            slope = (slope * (1 - outputs[row, at] ** 2)) @ layer.weight_hh_l0
    np.testing.assert_allclose(recurrence.norms(found, given), expected.mean(axis=0), rtol=1e-4)


def test_figures_are_drawn_and_leave_weights_gradients_and_form_as_they_were():
    found = task(cell="lstm")
    before = {name: one.clone() for name, one in found.network.state_dict().items()}
    assert set(recurrence.figures(found, rows())) == {"gates", "gradient_norms"}
    assert all(torch.equal(one, before[name]) for name, one in found.network.state_dict().items())
    assert all(one.grad is None for one in found.network.parameters())
    assert not found.network.recurrent.config.unrolled


def test_masked_rows_do_not_count():
    found, given = task(cell="gru"), rows()
    masked = given._replace(mask_B=torch.arange(ROWS) < 2)
    torch.testing.assert_close(recurrence.norms(found, masked), recurrence.norms(found, given.slots(slice(2))))

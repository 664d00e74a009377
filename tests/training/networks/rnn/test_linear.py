import numpy as np
import pandas as pd
import pytest
import torch

from millstream.tracking.errors import BadData
from millstream.training.networks.rnn import linear
from millstream.training.networks.rnn.linear import Config
from tests.checks import check_network
from tests.training.signatures import number, series, signature

PAST, FUTURE, CHANNELS = 9, 4, 2
FORECAST = signature(
    series("past", PAST, CHANNELS), series("series", FUTURE, CHANNELS).model_copy(update={"role": "target"})
)


def built(**config):
    torch.manual_seed(0)
    network = linear.build(Config(**config), FORECAST)
    for one in network.parameters():
        torch.nn.init.normal_(one)
    return network


def drawn(rows=3):
    return torch.randn(rows, PAST, CHANNELS, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("form", ["linear", "nlinear", "dlinear"])
def test_it_keeps_the_network_contract(form):
    check_network(built(form=form, average=3), drawn(), shape=(3, FUTURE, CHANNELS))


def test_a_channel_is_forecast_by_one_matrix():
    network, x = built(form="linear"), drawn()
    weight, bias = (one.detach().numpy() for one in network.head.parameters())
    for row in range(3):
        for channel in range(CHANNELS):
            expected = weight @ x[row, :, channel].numpy() + bias
            np.testing.assert_allclose(network(x)[row, :, channel].detach(), expected, rtol=1e-5, atol=1e-6)


def test_nlinear_moves_with_the_level_of_the_series():
    network, x = built(form="nlinear"), drawn()
    torch.testing.assert_close(network(x + 100), network(x) + 100, rtol=1e-5, atol=1e-4)


def test_the_moving_average_is_that_of_pandas_with_the_ends_repeated():
    x = drawn().transpose(1, 2)
    row = pd.Series(np.pad(x[0, 0].numpy(), 2, mode="edge"))
    expected = row.rolling(5, center=True).mean().dropna()
    np.testing.assert_allclose(linear.moving_average(x, 5)[0, 0], expected, rtol=1e-5)


@pytest.mark.bad_input
def test_other_data_are_refused():
    with pytest.raises(BadData, match="put the step window into the recipe"):
        linear.build(Config(), signature(series("past", PAST, CHANNELS), number("y", "target")))
    with pytest.raises(BadData, match="odd number"):
        linear.build(Config(form="dlinear", average=4), FORECAST)

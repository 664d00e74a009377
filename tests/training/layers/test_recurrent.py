import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from millstream.training.layers.recurrent import Recurrent, RecurrentConfig

CLOSE = {"rtol": 1e-5, "atol": 1e-6}
STEPS, INPUTS, HIDDEN = 6, 3, 4

CONFIGS = st.builds(
    dict,
    cell=st.sampled_from(["rnn", "gru", "lstm"]),
    activation=st.sampled_from(["tanh", "relu"]),
    layers=st.integers(1, 3),
    both_ways=st.booleans(),
    residual=st.booleans(),
    initial=st.sampled_from(["uniform", "orthogonal"]),
    forget_bias=st.sampled_from([None, 1.0]),
)
LENGTHS = st.lists(st.integers(0, STEPS), min_size=1, max_size=4)


def made(unrolled=False, seed=0, **config):
    torch.manual_seed(seed)
    return Recurrent(INPUTS, RecurrentConfig(hidden=HIDDEN, unrolled=unrolled, **config)).double()


def drawn(rows, seed=0, steps=STEPS):
    return torch.randn(rows, steps, INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def through(layer, x_BTI, lengths=None, state=None):
    """Outputs, last states, and gradients of parameters and inputs."""
    x_BTI = x_BTI.clone().requires_grad_()
    layer.zero_grad()
    lengths = None if lengths is None else torch.tensor(lengths)
    outputs, end = layer(x_BTI, lengths, state)
    (outputs.square().sum() + end.sum()).backward()
    return [outputs, end, x_BTI.grad, *(one.grad for one in layer.parameters())]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **CLOSE)


@given(CONFIGS, LENGTHS, st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_unrolled_form_has_the_values_and_gradients_of_the_fused_form(config, lengths, is_continued):
    fused, unrolled = made(**config), made(unrolled=True, **config)
    unrolled.load_state_dict(fused.state_dict())
    x, state = drawn(len(lengths)), None
    if is_continued:
        state = torch.linspace(-1, 1, len(lengths) * fused.state_size, dtype=torch.float64).reshape(len(lengths), -1)
    assert_same(through(unrolled, x, lengths, state), through(fused, x, lengths, state))


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_stacked_layers_in_both_directions_are_those_of_torch(cell):
    ours = made(cell=cell, layers=2, both_ways=True)
    theirs = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell](
        INPUTS, HIDDEN, 2, batch_first=True, bidirectional=True
    ).double()
    for at, one in enumerate(ours.cells):
        suffix = f"_l{at // 2}" + ("_reverse" if at % 2 else "")
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(theirs, name + suffix).data = getattr(one.fused, f"{name}_l0").data
    x, lengths = drawn(3), torch.tensor([6, 2, 4])
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    made_by_theirs, _ = theirs(packed)
    expected, _ = nn.utils.rnn.pad_packed_sequence(made_by_theirs, batch_first=True)
    torch.testing.assert_close(ours(x, lengths)[0], expected, **CLOSE)


@given(CONFIGS, LENGTHS, st.booleans(), st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_padding_and_other_rows_change_nothing(config, lengths, unrolled, padding):
    layer, x = made(unrolled, **config), drawn(len(lengths))
    padded = torch.cat([x, torch.full((len(lengths), padding, INPUTS), 9.0, dtype=torch.float64)], dim=1)
    outputs, end, of_x, *of_weights = through(layer, x, lengths)
    found, found_end, of_padded, *of_padded_weights = through(layer, padded, lengths)
    assert_same([found[:, :STEPS], found_end, of_padded[:, :STEPS]], [outputs, end, of_x])
    assert_same(of_padded_weights, of_weights)
    assert not found[:, STEPS:].any()
    assert not of_padded[:, STEPS:].any()
    for row, length in enumerate(lengths):
        alone, alone_end, *_ = through(layer, x[row : row + 1, : max(1, length)], [length])
        torch.testing.assert_close(alone[0], outputs[row, : max(1, length)], **CLOSE)
        torch.testing.assert_close(alone_end[0], end[row], **CLOSE)


@given(CONFIGS.filter(lambda one: not one["both_ways"]), st.integers(1, STEPS - 1))
@settings(max_examples=20, deadline=None)
def test_a_sequence_in_two_parts_with_the_state_carried_is_the_whole(config, first):
    layer, x = made(**config), drawn(2)
    whole, end = layer(x)
    before, state = layer(x[:, :first])
    after, final = layer(x[:, first:], state_BF=state)
    assert_same([torch.cat([before, after], dim=1), final], [whole, end])


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_truncation_that_is_long_enough_changes_no_gradient_and_a_shorter_one_ends_it(cell):
    whole, long, short = (made(True, cell=cell, truncate=steps) for steps in (0, STEPS, 3))
    expected = through(whole, drawn(2))
    assert_same(through(long, drawn(2)), expected)
    values = through(short, drawn(2))
    assert_same(values[:2], expected[:2])
    x = drawn(2).requires_grad_()
    outputs, _ = short(x)
    outputs[:, 4].sum().backward()
    assert not x.grad[:, :3].any()  # steps 3 to 5 are a part of their own
    assert x.grad[:, 3:5].all()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("peephole", [False, True])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_an_lstm_step_is_the_formula(peephole, layer_norm):
    layer = made(True, cell="lstm", peephole=peephole, layer_norm=layer_norm)
    (cell,) = layer.cells
    with torch.no_grad():
        for one in cell.parameters():
            one.copy_(torch.randn(one.shape, generator=torch.Generator().manual_seed(one.numel())))
    value = {name: one.detach().numpy() for name, one in cell.named_parameters()}

    def normed(name, x):
        if not layer_norm:
            return x
        scaled = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
        return scaled * value[f"norms.{name}.weight"] + value[f"norms.{name}.bias"]

    p = value.get("peepholes", np.zeros((3, HIDDEN)))
    h, c = np.zeros(HIDDEN), np.zeros(HIDDEN)
    x = drawn(1)
    outputs, _ = layer(x)
    for at in range(STEPS):
        gates = normed("inputs", value["fused.weight_ih_l0"] @ x[0, at].numpy() + value["fused.bias_ih_l0"])
        gates = gates + normed("state", value["fused.weight_hh_l0"] @ h + value["fused.bias_hh_l0"])
        i, f, g, o = np.split(gates, 4)
        new = sigmoid(f + p[1] * c) * c + sigmoid(i + p[0] * c) * np.tanh(g)
        h, c = sigmoid(o + p[2] * new) * np.tanh(normed("cell", new)), new
        np.testing.assert_allclose(outputs[0, at].detach().numpy(), h, rtol=1e-6)


def test_gates_and_states_of_a_trace_are_those_of_the_outputs():
    layer, x = made(cell="lstm"), drawn(2)
    trace = layer.trace(x)
    assert set(trace) == {"input", "forget", "candidate", "output", "hidden", "cell"}
    torch.testing.assert_close(trace["hidden"], layer(x)[0].detach(), **CLOSE)
    torch.testing.assert_close(trace["output"] * trace["cell"].tanh(), trace["hidden"], **CLOSE)


def test_initial_weights_are_orthogonal_and_the_forget_gate_is_open():
    (cell,) = made(cell="lstm", initial="orthogonal", forget_bias=1.0).cells
    for block in cell.fused.weight_hh_l0.detach().chunk(4):
        torch.testing.assert_close(block @ block.T, torch.eye(HIDDEN, dtype=torch.float64), **CLOSE)
    total = (cell.fused.bias_ih_l0 + cell.fused.bias_hh_l0).detach()
    assert total.tolist() == [0.0] * HIDDEN + [1.0] * HIDDEN + [0.0] * 2 * HIDDEN


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"truncate": 5}, "unrolled: true"),
        ({"peephole": True}, "unrolled: true"),
        ({"layer_norm": True}, "unrolled: true"),
        ({"cell": "gru", "peephole": True, "unrolled": True}, "a gru has none"),
        ({"cell": "elman"}, "'rnn', 'gru' or 'lstm'"),
    ],
)
def test_what_does_nothing_or_does_not_exist_is_refused(config, words):
    with pytest.raises(ValidationError, match=words):
        RecurrentConfig(**config)

"""What holds for every network that is found by its path, on whatever data it reads, with a task that accepts it."""

import io
import pickle
import pickletools
import zipfile

import numpy as np
import pytest
import torch

from millstream.tracking.errors import BadData, WrongRecipe
from millstream.training.checkpoints import archive
from millstream.training.estimator import Estimator
from millstream.training.estimator_module import EstimatorModule
from tests.checks import CLOSE, check_network, check_rows_are_independent, without_dropout, without_gradient
from tests.training.compatible import NETWORKS, SIGNATURES, batch, fit_on, network, pairs
from tests.training.tasks.made import stepping

STEPS, SHARE = 150, 0.5
"""In so many steps on one batch the loss falls by this share of its first absolute value."""


pytestmark = pytest.mark.usefixtures("one_thread")


def pair_of(name):
    found = [pair for pair in pairs() if pair.network == name]
    assert found, f"no task accepts {name} on any of the data of tests.training.compatible"
    return found[0]


@pytest.mark.bad_input
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_reads_the_data_or_refuses_them_in_words_of_the_recipe(name):
    seen = set()
    for signature in SIGNATURES.values():
        try:
            found = network(name, signature)
        except (BadData, WrongRecipe):
            continue
        inputs = batch(signature, rows=3).arguments
        if isinstance(found, Estimator) or signature.inputs in seen:
            seen.add(signature.inputs)
            continue
        seen.add(signature.inputs)
        assert torch.isfinite(found.eval()(*inputs)).all()
        check_rows_are_independent(found, *inputs)
    assert seen


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_learns_one_batch(name):
    pair = pair_of(name)
    task, rows = pair.build(), batch(pair.signature)
    if isinstance(task.network, EstimatorModule):
        fit_on(task, rows)
        assert loss_of(task, rows) < loss_of_nothing_learned(task, rows)
        return
    stepping(task)
    with without_dropout(task.network):
        if task.steps_by_rows:  # else the steps of a part oppose those of another, and no loss need fall
            first = loss_of(task, rows)
            assert any(step_and_loss(task, rows) < first - SHARE * abs(first) for _ in range(STEPS))
        else:
            task.training_step(rows, 0)
    assert without_gradient(task.network) == []


def step_and_loss(task, rows):
    task.train()
    return float(task.training_step(rows, 0)["train/loss"])


def loss_of(task, rows):
    task.eval()
    with torch.no_grad():
        return float(task.mean(rows))


def loss_of_nothing_learned(task, rows):
    """The loss of the best constant; for an estimator that is fitted on the inputs alone, that of rows whose columns
    are shuffled, which have nothing in common with those that were learned but the values."""
    if task.network.estimator.learns_target:
        truth = rows.present().truth.double()
        shares = torch.bincount(truth.long()) / len(truth)
        return float(-(shares * shares.log()).sum() if task.signature.classes else truth.var(correction=0))
    draw = torch.Generator().manual_seed(0)
    (x_BD,) = rows.arguments
    shuffled = torch.stack([column[torch.randperm(len(column), generator=draw)] for column in x_BD.T], dim=1)
    return loss_of(task, rows._replace(inputs=dict.fromkeys(rows.inputs, shuffled)))


@pytest.mark.security
@pytest.mark.parametrize("name", NETWORKS)
def test_a_state_without_code_predicts_the_same_row_by_row(name, tmp_path):
    pair = pair_of(name)
    task, inputs = pair.task_fitted(), batch(pair.signature, rows=3).arguments
    archive.save(task.network.state_dict(), tmp_path / "weights.pt")
    again = pair.build()
    for parameter in again.network.parameters():
        torch.nn.init.zeros_(parameter)
    again.network.load_state_dict(archive.load(tmp_path / "weights.pt"))
    with torch.no_grad():
        whole, loaded = task.eval().predict(*inputs), again.eval().predict(*inputs)
        alone = [task.predict(*(one[at : at + 1] for one in inputs)) for at in range(3)]
    assert_same(loaded, whole, rtol=0, atol=0)
    assert_same({name: [one[name][0] for one in alone] for name in whole}, whole, **CLOSE)
    if isinstance(task.network, EstimatorModule):
        content = task.network.estimator.dump()
        assert pair.task_fitted().network.estimator.dump() == content
        assert not any(is_pickle(one) for one in [content, *members(content)])


def assert_same(found, expected, **tolerance):
    for name, values in expected.items():
        if isinstance(values[0], str):
            assert list(found[name]) == list(values)
        else:
            np.testing.assert_allclose(np.stack(found[name]), np.stack(values), **tolerance)


def members(content):
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return []
    with zipfile.ZipFile(io.BytesIO(content)) as held:
        return [held.read(name) for name in held.namelist()]


def is_pickle(content):
    try:
        return any(code.name == "STOP" for code, _, _ in pickletools.genops(content))
    except (ValueError, KeyError, IndexError, UnicodeDecodeError):
        return False


class Centred(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x - x.mean(dim=0))


class Idle(torch.nn.Linear):
    def __init__(self):
        super().__init__(2, 2)
        self.more = torch.nn.Parameter(torch.ones(1))


@pytest.mark.parametrize(("network", "fault"), [(Centred(2, 2), "not close"), (Idle(), "more")])
def test_rows_that_depend_on_others_and_parameters_without_a_use_are_found(network, fault):
    with pytest.raises(AssertionError, match=fault):
        check_network(network, torch.rand(4, 2), shape=(4, 2))


def test_a_pickle_is_recognised():
    assert is_pickle(pickle.dumps({"a": torch.ones(1)}))
    assert not is_pickle(b"[1, 2]")

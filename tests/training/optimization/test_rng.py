"""Draws follow from a seed as torch's own do, and cost no traceback."""

import traceback

import torch

from millstream.training.optimization import rng


def test_draws_are_those_of_torch():
    torch.manual_seed(1234567890123456789)
    wanted = torch.rand(5), torch.randperm(9)
    rng.seed(1234567890123456789)
    found = torch.rand(5), torch.randperm(9)
    assert all(torch.equal(one, other) for one, other in zip(wanted, found, strict=True))
    assert torch.initial_seed() == 1234567890123456789


def test_a_seed_writes_down_no_traceback_as_that_of_torch_does(monkeypatch):
    written = []
    monkeypatch.setattr(traceback, "format_stack", lambda *arguments: written.append(arguments) or [])
    rng.seed(7)
    assert written == []
    torch.manual_seed(7)
    assert written

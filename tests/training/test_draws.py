"""Draws follow from a seed as torch's own do, and nothing is kept of it."""

import torch

from training import draws


def test_draws_are_those_of_torch():
    torch.manual_seed(1234567890123456789)
    wanted = torch.rand(5), torch.randperm(9)
    draws.seed(1234567890123456789)
    found = torch.rand(5), torch.randperm(9)
    assert all(torch.equal(one, other) for one, other in zip(wanted, found, strict=True))
    assert torch.initial_seed() == 1234567890123456789


def test_a_seed_leaves_no_note_for_devices_that_are_not_there():
    before = len(torch.cuda._queued_calls)
    for at in range(10):
        draws.seed(at)
    assert len(torch.cuda._queued_calls) == before

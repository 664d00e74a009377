"""What is made ahead comes in its order, by a thread that is alone, and is closed whatever happens."""

import os
import threading
from pathlib import Path

import pytest
import torch

from millstream.tracking.dataset.filesystems import place
from millstream.training.feed.read.windows import ahead, in_turn, is_worth_threads
from tests.forkserver import python


def numbers(closed):
    try:
        for at in range(5):
            yield at, threading.current_thread().name
    finally:
        closed.append(True)


@pytest.mark.parametrize(("way", "by"), [(ahead, "feed_0"), (in_turn, threading.current_thread().name)])
def test_all_come_in_their_order(way, by):
    closed = []
    assert list(way(numbers(closed), 5)) == [(at, by) for at in range(5)]
    assert closed == [True]


@pytest.mark.parametrize("way", [ahead, in_turn])
def test_who_stops_early_closes_what_they_are_made_from(way):
    closed = []
    coming = way(numbers(closed), 5)
    assert next(coming)[0] == 0
    coming.close()
    assert closed == [True]
    assert not [one for one in threading.enumerate() if one.name.startswith("feed")]


@pytest.mark.parametrize("way", [ahead, in_turn])
def test_what_they_are_made_from_is_gone_when_the_last_one_is_out(way):
    closed = []
    coming = way(numbers(closed), 3)
    assert [next(coming)[0] for _ in range(3)] == [0, 1, 2]
    assert closed == [True]


def test_threads_read_where_somebody_else_works_meanwhile(monkeypatch):
    here, afar = Path("/store/made/v1"), place("s3://store/made/v1")
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not is_worth_threads(here)
    assert is_worth_threads(afar)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert is_worth_threads(here)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert is_worth_threads(here)


def test_the_thread_has_no_helpers_and_the_others_keep_theirs():
    # in a process of its own: tests run with one thread each
    program = """
import torch
torch.set_num_threads(2)
from millstream.training.feed.read.windows import ahead
def numbers():
    while True:
        yield torch.get_num_threads()
print(*ahead(numbers(), 3), torch.get_num_threads())
"""
    out, err = python("-c", program).communicate()
    assert out.split() == ["1", "1", "1", "2"], err

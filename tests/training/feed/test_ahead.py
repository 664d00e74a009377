"""What is made ahead comes in its order, by a thread that is alone, and is closed whatever happens."""

import subprocess
import sys
import threading

import pytest

from training.feed.windows import ahead, in_turn


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


def test_the_thread_has_no_helpers_and_the_others_keep_theirs():
    # in a process of its own: tests run with one thread each
    program = """
import torch
torch.set_num_threads(2)
from training.feed.windows import ahead
def told():
    while True:
        yield torch.get_num_threads()
print(*ahead(told(), 3), torch.get_num_threads())
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["1", "1", "1", "2"]

"""Who is still there is known from each rank itself, and a process that a library holds ends all the same."""

import socket
import time

import pytest

from millstream.training.distributed import liveness
from millstream.training.distributed.liveness import Peer, Responder
from tests.forkserver import python


@pytest.fixture
def responders(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    made = [Responder(only_this_host=True), Responder(only_this_host=False)]
    yield made
    for one in made:
        one.close()


def test_who_answers_is_alive_and_who_has_left_is_lost(responders):
    peers = {rank: Peer.of(one.record) for rank, one in enumerate(responders)}
    assert liveness.lost(peers) == {}
    responders[0].close()
    assert liveness.lost(peers) == {0: peers[0]}
    assert peers[0].host == socket.gethostname()
    assert liveness.lost({}) == {}


def test_another_process_at_the_port_of_one_that_left_is_no_sign_of_life(responders):
    peer = Peer.of(responders[0].record)
    assert liveness.lost({0: peer._replace(token="another")}) != {}


def test_a_process_that_accepts_and_does_not_answer_is_lost(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setattr(liveness, "ANSWER_WITHIN_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as stopped:  # the kernel takes connections for it
        peer = Peer("host", "127.0.0.1", stopped.getsockname()[1], "token")
        assert list(liveness.lost({1: peer})) == [1]


@pytest.mark.fault
def test_a_process_that_waits_without_an_end_ends_with_what_it_had_to_say():
    script = """
from millstream.tracking.errors import BadEnvironment
from millstream.training.distributed import watchdog
from tests.forkserver import python
import threading
with watchdog.limit(60, BadEnvironment.at("inside", "too slow")):
    pass
watchdog.start(0.2, BadEnvironment.at("rank 1 of 2", "rank 0 on host alfa does not answer"))
threading.Event().wait()
"""
    began = time.monotonic()
    ended = python("-c", script)
    _, err = ended.communicate(timeout=120)
    assert ended.returncode == 4
    assert err == "rank 1 of 2: rank 0 on host alfa does not answer\n"
    assert time.monotonic() - began < 60

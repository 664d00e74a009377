import os
import signal
import sys
import time
import weakref

import pytest

from millstream.tracking.errors import Terminated
from millstream.tracking.host.dropped_interrupts import send_again

WITHIN_S = 10


class Noisy:
    pass


@pytest.fixture
def terminates(monkeypatch):
    def terminate(number, frame):
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
@pytest.mark.usefixtures("terminates")
def test_a_signal_that_arrives_in_the_callback_of_a_weak_reference_ends_the_work(number, kind, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: pytest.fail("not what was dropped before"))
    send_again()
    held = [Noisy()]
    reference = weakref.ref(held[0], lambda gone: os.kill(os.getpid(), number))
    with pytest.raises(kind) as raised:
        work(held)
    assert reference() is None
    assert type(raised.value) is kind


def work(held):
    held.clear()  # the callback runs, and Python drops what its signal raises
    time.sleep(WITHIN_S)


@pytest.mark.usefixtures("terminates")
def test_other_errors_of_callbacks_are_reported_as_before(monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: reported.append(type(unraisable.exc_value)))
    send_again()
    noisy = Noisy()
    reference = weakref.ref(noisy, lambda gone: 1 / 0)
    del noisy
    assert (reference(), reported) == (None, [ZeroDivisionError])

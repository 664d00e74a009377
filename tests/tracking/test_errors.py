"""What an error came from is walked to its end, whatever raised it."""

from itertools import islice

from millstream.tracking.errors import causes, interrupt_of
from millstream.tracking.host.disk_full import is_full
from millstream.tracking.runs.store_errors import StoreError


def circle():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first, second


def test_errors_that_came_from_each_other_are_each_seen_once():
    first, second = circle()
    own = ValueError("from itself")
    own.__cause__ = own
    assert list(islice(causes(first), 9)) == [first, second]
    assert list(islice(causes(own), 9)) == [own]
    assert list(causes(None)) == []


def test_each_walk_over_what_an_error_came_from_ends():
    first, _ = circle()
    assert (interrupt_of(first), is_full(first), StoreError.of(first, "http://x").is_gone) == (None, False, False)
    stopped = ValueError("while cleaning up")
    stopped.__context__ = KeyboardInterrupt()
    assert interrupt_of(stopped) is stopped.__context__
    full = OSError(28, "No space left on device")
    full.__cause__ = full
    assert is_full(full)

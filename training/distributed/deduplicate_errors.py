"""When every rank fails with the same error, only rank 0 reports it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from torch.distributed import DistError
from torch.distributed.distributed_c10d import Store

from millstream.tracking.errors import Ended, Refusal
from millstream.training.distributed import watchdog
from millstream.training.distributed.ranks import LEAVE_WITHIN_S, Ranks, meeting

REFUSED = "refused by the first rank"
HEARD_WITHIN_S = 30.0
"""How long a failing rank waits for rank 0 to report the same error: hosts differ in speed."""
MORE_S = 5.0
"""Margin for the store's own timeout."""


@contextmanager
def report_once(place: Ranks) -> Iterator[None]:
    """Raises Ended, with the same answer and exit code, for an error of this rank that rank 0 reports too.

    An error of one rank alone (a file missing on its host) is reported by that rank.
    Raises BadEnvironment when the rendezvous failed.
    """
    if place.is_alone:
        yield
        return
    store = meeting(place)
    try:
        yield
    except Refusal as refused:
        words = str(refused)
        if place.is_first:
            _within(lambda: store.set(REFUSED, words), refused)
        elif refused.faults[0].where != place.name and _within(lambda: _first_error(store), refused) == words:
            raise Ended(refused.answer, refused.exit_code) from None
        raise


def _first_error(store: Store) -> str:
    """The error of rank 0."""
    store.wait([REFUSED], timedelta(seconds=HEARD_WITHIN_S))
    return str(store.get(REFUSED).decode())


def _within(ask: Callable[[], str | None], refused: Refusal) -> str | None:
    """The store's answer; None without one, as the store may be lost with rank 0 or its host."""
    heard: list[str | None] = []

    def read() -> None:
        with suppress(DistError):  # the store is lost: no answer
            heard.append(ask())

    # a store whose host lost power does not return within its timeout
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(HEARD_WITHIN_S + MORE_S)
    if reader.is_alive():  # torch may block on it at process exit
        watchdog.start(LEAVE_WITHIN_S, refused)
    return heard[0] if heard else None

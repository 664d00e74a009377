"""What all ranks would refuse is told by the first of them alone."""

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
"""How long a rank that refuses waits for the first one to say the same: hosts are not equally fast."""
MORE_S = 5.0
"""What the store's own time-out may be late."""


@contextmanager
def told_once(place: Ranks) -> Iterator[None]:
    """Turns what this rank refuses into Ended, with the same answer and exit code, where the first rank refuses it too.

    What only another rank has found (a file that its host lacks) is told by that one.
    Raises BadEnvironment when the ranks did not meet.
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
        elif refused.faults[0].where != place.name and _within(lambda: _said(store), refused) == words:
            raise Ended(refused.answer, refused.exit_code) from None
        raise


def _said(store: Store) -> str:
    """What the first rank refuses."""
    store.wait([REFUSED], timedelta(seconds=HEARD_WITHIN_S))
    return str(store.get(REFUSED).decode())


def _within(ask: Callable[[], str | None], refused: Refusal) -> str | None:
    """What the store answers; None when it does not, as it may be gone with the first rank or its host."""
    heard: list[str | None] = []

    def asked() -> None:
        with suppress(DistError):
            heard.append(ask())

    # a store whose host has no power any more answers neither in the time given nor after it
    asking = threading.Thread(target=asked, daemon=True)
    asking.start()
    asking.join(HEARD_WITHIN_S + MORE_S)
    if asking.is_alive():  # torch may wait for it while this process ends
        watchdog.start(LEAVE_WITHIN_S, refused)
    return heard[0] if heard else None

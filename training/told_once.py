"""What all ranks would refuse is told by the first of them alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from torch.distributed import DistError
from torch.distributed.distributed_c10d import Store

from tracking.faults import Ended, Refusal
from training.ranks import Ranks, meeting

REFUSED = "refused by the first rank"
HEARD_WITHIN_S = 30.0
"""How long a rank that refuses waits for the first one to say the same: hosts are not equally fast."""


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
        if place.is_first:
            store.set(REFUSED, str(refused))
        elif _heard(store) == str(refused):
            raise Ended(refused.answer, refused.exit_code) from None
        raise


def _heard(store: Store) -> str | None:
    """What the first rank refuses; None when it does not, or is gone with the store."""
    try:
        store.wait([REFUSED], timedelta(seconds=HEARD_WITHIN_S))
        return store.get(REFUSED).decode()
    except DistError:
        return None

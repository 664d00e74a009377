"""Reads shards with pyarrow, in the order asked for, tensors without a copy.

Two threads read ahead where there is time for it, and what is still to be hashed; what is known is read when it is
due.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from millstream.training.feed.read.columns import dense
from millstream.training.feed.read.shards import Piece, Shards

THREADS = 2
AHEAD = 4
"""Shards that may be in the making: a few MB each."""


def read(shards: Shards, wanted: Sequence[int]) -> Iterator[Piece]:
    """The shards numbered `wanted`, each as often as it stands there. Raises BadData for a damaged one."""
    if shards.are_read_beside or not shards.are_known(wanted):
        yield from _ahead(shards, wanted)
    else:
        yield from (_piece(shards, number) for number in wanted)


def _ahead(shards: Shards, wanted: Sequence[int]) -> Iterator[Piece]:
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="feed-arrow")
    pending: deque[Future[Piece]] = deque()
    try:
        for number in wanted:
            pending.append(pool.submit(_piece, shards, number))
            if len(pending) > AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _piece(shards: Shards, number: int) -> Piece:
    names = [column.name for column in shards.columns]
    with shards.opened(number) as file:
        table = file.read(columns=names, use_threads=False)
    where = shards.where(number)
    columns = {column.name: dense(column, table.column(column.name), where) for column in shards.columns}
    return Piece(number, shards.arrays(columns, where))

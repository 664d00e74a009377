"""Reads shards with pyarrow, in the requested order, tensors without a copy.

Two threads read ahead where threads are worthwhile or shards are not yet verified; otherwise shards are read on demand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from millstream.training.feed.read.columns import dense
from millstream.training.feed.read.shards import Piece, Shards

THREADS = 2
AHEAD = 4
"""Shards read ahead: a few MB each."""


def read(shards: Shards, wanted: Sequence[int]) -> Iterator[Piece]:
    """The shards numbered `wanted`, with repetitions. Raises BadData for a damaged shard."""
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

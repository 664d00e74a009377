"""Reads shards with petastorm's batch reader, through its public interface alone.

The reader preserves the order of files but not that of row groups in flight, and does not report the file of a batch.
So each batch includes `sample_id`, whose first value identifies the shard.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import ExitStack
from keyword import iskeyword
from typing import Any

import numpy as np
import pyarrow as pa

from millstream.tracking.dataset.filesystems import Remote
from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.shard_cache import LIMIT
from millstream.tracking.errors import BadData, BadEnvironment
from millstream.training.feed.read.columns import dense
from millstream.training.feed.read.shards import SAMPLE_ID, Piece, Shards

WORKERS = 8
"""petastorm sleeps 10 ms whenever its workers + 2 row groups are in flight; with 8 that is rare."""
QUEUE = 8


def read(shards: Shards, wanted: Sequence[int]) -> Iterator[Piece]:
    """The shards numbered `wanted`, with repetitions, approximately in that order.

    Raises BadData for a damaged shard or one that petastorm cannot read, BadEnvironment without petastorm, for a path
    with ? or #, or for shards behind a URL that do not fit the cache together.
    """
    if not wanted:
        return
    _check_room(shards, set(wanted))
    number_of = {_first_id(shards, number): number for number in dict.fromkeys(wanted)}
    with warnings.catch_warnings(), ExitStack() as lent:
        warnings.simplefilter("ignore", FutureWarning)  # petastorm warns of interfaces of its own dependencies
        # it also warns of column names with a common prefix: full names are given, and matched in full
        warnings.filterwarnings("ignore", "schema_fields behavior has changed", UserWarning)
        # it opens files at any time: all are kept until it is done
        files = {number: lent.enter_context(shards.lent(number)) for number in dict.fromkeys(wanted)}
        reader = _reader(shards, [files[number] for number in wanted])
        with reader:
            for batch in reader:
                values = batch._asdict()
                number = number_of[str(values[SAMPLE_ID][0])]
                yield Piece(number, _arrays(shards, number, values))


def _check_room(shards: Shards, wanted: Set[int]) -> None:
    dataset, size = shards.dataset, sum(shards.all[number].bytes for number in wanted)
    if isinstance(dataset.folder, Remote) and dataset.cache is not None and size > dataset.cache.limit:
        message = f"petastorm needs {size} bytes of shards at once, and {dataset.cache.limit} are allowed in the cache"
        raise BadEnvironment.at(dataset.folder, f"{message}; set {LIMIT} higher, or use engine arrow")


def _reader(shards: Shards, files: Sequence[Any]) -> Any:
    try:
        from petastorm import TransformSpec, make_batch_reader
    except ImportError:
        message = "petastorm is not installed in this environment; use engine arrow"
        raise BadEnvironment.at("fit.engine", message) from None
    lists = [column.name for column in shards.columns if column.layout == "list"]
    change = TransformSpec(_as_bytes(lists), [(name, np.bytes_, (), True) for name in lists]) if lists else None
    if set("?#") & set(str(files[0])):
        raise BadEnvironment.at(
            files[0], "petastorm cannot read a path with ? or #; use engine arrow, or move the store"
        )
    return make_batch_reader(
        [f"file://{file}" for file in files],
        schema_fields=[*_patterns(shards), SAMPLE_ID],
        reader_pool_type="thread",
        workers_count=WORKERS,
        results_queue_size=QUEUE,
        shuffle_row_groups=False,
        num_epochs=1,
        transform_spec=change,
        hdfs_driver="libhdfs",
    )


def unreadable(names: Iterable[str]) -> list[str]:
    """The column names that are no valid fields of petastorm's named tuples."""
    return [name for name in names if not name.isidentifier() or name.startswith("_") or iskeyword(name)]


def _patterns(shards: Shards) -> list[str]:
    """The columns' names. Raises BadData for those that petastorm cannot read."""
    names = [column.name for column in shards.columns]
    wrong = unreadable(names)
    if wrong:
        message = f"columns {wrong} have names that petastorm cannot read; use engine arrow or rename them"
        raise BadData.at(shards.dataset.folder, message)
    return names


def _first_id(shards: Shards, number: int) -> str:
    """The first sample_id of a shard: ids are unique, so it names the shard."""
    if shards.all[number].row_groups != 1:
        message = f"{shards.all[number].row_groups} row groups; petastorm reads shards of one, use engine arrow"
        raise BadData.at(shards.where(number), message)
    return shards.first_id(number)


def _arrays(shards: Shards, number: int, values: dict[str, Any]) -> tuple[Any, ...]:
    where = shards.where(number)
    columns = {one.name: dense(one, _column(one, values[one.name]), where) for one in shards.columns}
    return shards.arrays(columns, where)


def _column(column: Column, values: Any) -> pa.ChunkedArray:
    """The column as Arrow array, so that both engines validate and decode with the same code."""
    if column.layout == "scalar":
        return pa.chunked_array([pa.array(np.asarray(values))])
    try:
        whole = b"".join(values)
    except TypeError:
        return pa.chunked_array([pa.nulls(sum(one is None for one in values))])
    ends = np.zeros(len(values) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, values), np.int64, len(values)), out=ends[1:])
    if column.layout == "tensor":
        joined = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), len(values), [None, pa.py_buffer(ends), pa.py_buffer(whole)]
        )
        return pa.chunked_array([joined])
    lists = pa.LargeListArray.from_arrays(pa.array(ends // 8), pa.array(np.frombuffer(whole, np.int64)))
    return pa.chunked_array([lists])


def _as_bytes(lists: Sequence[str]) -> Callable[[Any], Any]:
    """A transform of list columns to bytes: petastorm stacks lists, which would require equal lengths in a row group.

    A list with a null arrives here as floats: it is passed on as a null.
    """

    def as_bytes(one: Any) -> bytes | None:
        return one.astype(np.int64).tobytes() if one is not None and one.dtype.kind in "iu" else None

    def change(frame: Any) -> Any:
        for name in lists:
            frame[name] = [as_bytes(one) for one in frame[name]]
        return frame

    return change

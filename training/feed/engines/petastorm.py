"""Reads shards with petastorm's batch reader, by its public interface alone.

The reader keeps the order of the files that it is given but not that of row groups in flight, and does not tell from
which file a batch came. So each batch brings `sample_id`, whose first value names the shard.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tracking.faults import BadEnvironment

WORKERS = 8
"""petastorm sleeps 10 ms whenever its workers + 2 row groups are in flight; with 8 that is seldom."""
QUEUE = 8
NAME = "sample_id"


def read(files: Sequence[Path], columns: Sequence[str]) -> Iterator[tuple[int, dict[str, pa.ChunkedArray]]]:
    """(place in `files`, columns) for each file, nearly in the order of `files`.

    Raises BadEnvironment where petastorm is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # petastorm warns of interfaces of its own dependencies
        types = pq.read_schema(files[0])
        reader = _reader(files, [*columns, NAME], [name for name in columns if pa.types.is_list(types.field(name).type)])
        places = {_first(file): at for at, file in enumerate(files)}
        with reader:
            for batch in reader:
                values = batch._asdict()
                at = places[values[NAME][0]]
                yield at, {name: _column(values[name], types.field(name).type) for name in columns}


def _reader(files: Sequence[Path], names: Sequence[str], lists: Sequence[str]) -> Any:
    try:
        from petastorm import TransformSpec, make_batch_reader
    except ImportError:
        told = "is not installed here; set fit.engine to arrow, or install the default stack"
        raise BadEnvironment.at("feed engine petastorm", told) from None
    return make_batch_reader(
        [f"file://{file}" for file in files],
        schema_fields=list(names),
        reader_pool_type="thread",
        workers_count=WORKERS,
        results_queue_size=QUEUE,
        shuffle_row_groups=False,
        num_epochs=1,
        transform_spec=TransformSpec(_as_bytes(lists), [(name, np.bytes_, (), False) for name in lists]) if lists else None,
        hdfs_driver="libhdfs",
    )


def _as_bytes(lists: Sequence[str]) -> Callable[[Any], Any]:
    """petastorm stacks lists, so all of a group would have to be equally long; their bytes it leaves alone."""

    def change(frame: Any) -> Any:
        for name in lists:
            frame[name] = [np.asarray(one, np.int64).tobytes() for one in frame[name]]
        return frame

    return change


def _first(file: Path) -> str:
    """The first sample_id of a shard: ids are unique, so it names the shard."""
    column = next(pq.ParquetFile(file).iter_batches(batch_size=1, columns=[NAME])).column(0)
    return str(column[0].as_py())


def _column(values: Any, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.chunked_array([pa.array(list(values), kind)])
    if pa.types.is_list(kind):
        offsets = np.cumsum([0, *(len(one) // 8 for one in values)], dtype=np.int32)
        whole = np.frombuffer(b"".join(values), np.int64)
        return pa.chunked_array([pa.ListArray.from_arrays(pa.array(offsets), pa.array(whole, kind.value_type))])
    return pa.chunked_array([pa.array(np.asarray(values))])

"""A shard of a dataset version opened for reading, and rows that were put aside, wherever they are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from millstream.tracking.dataset.filesystems import Remote, answering
from millstream.tracking.dataset.manifest import Shard
from millstream.tracking.dataset.version import Dataset


@contextmanager
def opened(dataset: Dataset, shard: Shard) -> Iterator[pq.ParquetFile]:
    """The shard, verified; a copy of a remote one may be removed when the context ends. Raises as `verified` does."""
    path = dataset.verified(shard)
    try:
        yield pq.ParquetFile(path)
    finally:
        dataset.release(shard)


def put_aside(dataset: Dataset, file: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """These columns of a file of the quarantine, in pieces. Raises what Arrow and the file system do."""
    path = dataset.folder / file
    if isinstance(path, Remote):
        with answering(path.url), path.system.open(path.url) as stream:
            yield from pq.ParquetFile(stream).iter_batches(columns=list(columns))
        return
    yield from pq.ParquetFile(path).iter_batches(columns=list(columns))

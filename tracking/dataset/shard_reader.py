"""Reads shards and quarantined rows of a dataset version, local or remote."""

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
    """The verified shard; the copy of a remote one may be evicted after the context ends. Raises as `verified` does."""
    path = dataset.verified(shard)
    try:
        yield pq.ParquetFile(path)
    finally:
        dataset.release(shard)


def quarantined(dataset: Dataset, file: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """These columns of a quarantine file, in record batches. Raises errors of Arrow and the file system."""
    path = dataset.folder / file
    if isinstance(path, Remote):
        with answering(path.url), path.system.open(path.url) as stream:
            yield from pq.ParquetFile(stream).iter_batches(columns=list(columns))
        return
    yield from pq.ParquetFile(path).iter_batches(columns=list(columns))

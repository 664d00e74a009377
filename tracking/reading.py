"""A shard of a dataset version opened for reading, wherever it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow.parquet as pq

from tracking.dataset import Dataset
from tracking.manifest import Shard


@contextmanager
def opened(dataset: Dataset, shard: Shard) -> Iterator[pq.ParquetFile]:
    """The shard, verified; a copy of a remote one may be removed when the context ends. Raises as `verified` does."""
    path = dataset.verified(shard)
    try:
        yield pq.ParquetFile(path)
    finally:
        dataset.release(shard)

"""Hashes an epoch's batches as any number of ranks would see them: evidence that the batch stream is reproducible."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import numpy as np
from pydantic import BaseModel
from torch import Tensor
from torch.nn import functional

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.dataset.version import Dataset
from millstream.training.diagnostics.batch_image import batch_figure
from millstream.training.feed.batch import Batch, Ragged
from millstream.training.feed.feed import Feed
from millstream.training.feed.plan.config import Reading


class Walked(BaseModel, frozen=True):
    hash: str
    batches: int
    samples: int
    rows_per_s: float
    wait: float


def walk(
    dataset: Dataset,
    split: str,
    signature: Signature,
    reading: Reading,
    *,
    epoch: int = 0,
    ranks: int = 1,
    show: Path | None = None,
) -> Walked:
    """The hash over all global batches of an epoch in order, and the throughput.

    A figure of rank 0's first batch is written to `show`. The hash covers the real rows of each global batch, slot by
    slot: inputs, target, weight. `wait` is the fraction of time spent waiting for the feed, here nearly 1, since no
    model is trained.
    """
    one = Feed(dataset, split, signature, reading, shuffle=split == "train")
    one.seek(epoch)
    feeds = [one.of_rank(rank, ranks) for rank in range(ranks)]
    digest, batches, samples = hashlib.sha256(), 0, 0
    started = time.perf_counter()
    for together in zip(*feeds, strict=True):
        for part in together:
            update(digest, part, signature)
        batches += 1
        samples += sum(int(part.mask_B.sum()) for part in together)
    seconds = max(1e-9, time.perf_counter() - started)
    wait = sum(feed.statistics.wait_s for feed in feeds) / seconds
    if show is not None:
        feeds[0].seek(epoch)
        batch_figure(next(iter(feeds[0])), signature).savefig(show, dpi=120)
    return Walked(
        hash=digest.hexdigest(), batches=batches, samples=samples, rows_per_s=samples / seconds, wait=min(1.0, wait)
    )


def update(digest: hashlib._Hash, batch: Batch, signature: Signature) -> None:
    """Add a rank's part of a batch to a hash: the real rows in slot order, row by row."""
    real = batch.mask_B
    if not real.any():
        return
    tensors: list[Tensor] = []
    values = {**batch.inputs, **batch.targets}
    for field in (*signature.inputs, *signature.targets):
        value = values[field.name]
        if isinstance(value, Ragged):
            # the padded width depends on the rank's longest row, not on the batch: pad to the maximum
            missing = field.shape[0] - value.values.shape[1]
            tensors += [functional.pad(value.values, (0, missing)), value.lengths_B]
        else:
            tensors.append(value)
    rows = [tensor[real].reshape(int(real.sum()), -1).numpy() for tensor in (*tensors, batch.weight_B)]
    as_bytes = [np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1) for values in rows]
    digest.update(np.concatenate(as_bytes, axis=1).tobytes())

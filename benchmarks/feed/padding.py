"""Share of padding in the batches of an epoch, by `bucket_batches`, and what reading the lengths costs.

python -m benchmarks.feed.padding DATASET [--batch-size 128] [--buckets 0 10 50 100]

DATASET is the folder of a dataset version with lists. Elements of all ragged fields are counted, as one rank and as
each of four ranks pads them.
"""

from __future__ import annotations

import argparse
import json
import resource
from collections.abc import Iterator
from pathlib import Path

from millstream.tracking.dataset.version import Dataset
from millstream.training.feed.batch import Ragged
from millstream.training.feed.feed import Feed
from millstream.training.feed.plan.config import Reading

RANKS = (1, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--buckets", type=int, nargs="+", default=[0, 10, 50, 100])
    options = parser.parse_args()
    dataset = Dataset.open(options.dataset, options.dataset)
    for bucket in options.buckets:
        reading = Reading(seed=7, batch_size=options.batch_size, engine="arrow", bucket_batches=bucket)
        print(json.dumps({"bucket_batches": bucket, **measured(dataset, reading)}))


def measured(dataset: Dataset, reading: Reading) -> dict[str, float]:
    """Share of padding by number of ranks, and CPU seconds of the order of an epoch, without and with known lengths."""
    targets = [column.name for column in dataset.manifest.columns if column.role == "target"]
    feed = Feed(dataset, "train", dataset.manifest.signature(*targets), reading)
    seconds = [_seconds_of_order(feed, epoch) for epoch in (0, 1)]
    found = {"first order, s": seconds[0], "next order, s": seconds[1]}
    for ranks in RANKS:
        real, padded = map(sum, zip(*_elements(feed, ranks), strict=True))
        found[f"padding of {ranks}"] = round(1 - real / padded, 4)
    return found


def _seconds_of_order(feed: Feed, epoch: int) -> float:
    began = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    order = feed.epoch(epoch)
    for k in range(order.plan.windows):
        order.slots(k)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_utime - began, 4)


def _elements(feed: Feed, ranks: int) -> Iterator[tuple[int, int]]:
    """Elements of the ragged fields of each batch, and the same with padding."""
    for rank in range(ranks):
        own = feed.of_rank(rank, ranks)
        own.seek(0)
        for batch in own:
            for value in (*batch.inputs.values(), *batch.targets.values()):
                if isinstance(value, Ragged):
                    yield int(value.lengths_B.sum()), value.values.numel()


if __name__ == "__main__":
    main()

"""Measures one reader on one set: `python -m benchmarks.feed.contest READER SET FOLDER EPOCHS [RANK RANKS]`; JSON."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.feed.readers import BYTES, READERS, READY, made, summary


def main(name: str, chosen: str, folder: Path, epochs: int, *share: int) -> None:
    reader, images = READERS[name], made(chosen)
    if not folder.exists():
        folder.mkdir(parents=True)
        reader.write(folder, images)
    seconds, first = [], []
    passes = reader.epochs(folder, images, *share)
    wanted = len(images) // share[1] if share else len(images)
    for at in range(epochs + 1):
        if at == min(1, epochs):  # the first one warms up
            print(READY, end="", flush=True)
            sys.stdin.readline()
        began = time.perf_counter()
        samples, came = 0, None
        for batch in next(passes):
            came = came or time.perf_counter() - began
            samples += _size(batch if name == BYTES else _as_numbers(batch))
        seconds.append(time.perf_counter() - began)
        first.append(came)
        if samples != wanted:
            print(f"{name}: {samples} of {wanted} images came", file=sys.stderr)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(summary(rows=wanted, seconds=seconds[1:], first_batch=first[1:], peak_mib=peak))


def _as_numbers(batch: Any) -> Any:
    """The images as a model takes them, as Millstream's feed and the good loop by hand yield them."""
    import torch

    if hasattr(batch, "mask_B"):
        return batch
    if isinstance(batch, dict):
        batch = batch["image"]
    if isinstance(batch, list | tuple):
        batch = batch[0]
    images = torch.as_tensor(batch)
    return images if images.is_floating_point() else images.to(torch.float32).mul_(1 / 255)


def _size(batch: object) -> int:
    if hasattr(batch, "mask_B"):
        return len(batch.mask_B) if batch.is_full else int(batch.mask_B.sum())
    return len(batch)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), *map(int, sys.argv[4:]))

"""64-bit hashes with a split index, partitioned on disk, so that only one partition is in memory at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.tracking.verification.row_hashes import Hashes

_HELD = np.dtype([("hash", "<u8"), ("split", "u1")])


class Hashed:
    """Hashes with their split index, on disk, partitioned by hash."""

    def __init__(self, folder: Path, parts: int) -> None:
        self.folder, self.parts = folder, parts
        folder.mkdir()

    def add(self, hashes: Hashes, split: int) -> None:
        held = np.empty(len(hashes), _HELD)
        held["hash"], held["split"] = hashes, split
        part = hashes % np.uint64(self.parts)
        for at in np.unique(part):
            with (self.folder / str(at)).open("ab") as file:
                held[part == at].tofile(file)

    def doubled(self) -> Hashes:
        """Hashes that occur more than once."""
        return np.concatenate([hashes[counts > 1] for hashes, counts, _, _ in self._groups()])

    def different(self) -> int:
        """Number of distinct hashes."""
        return sum(len(hashes) for hashes, _, _, _ in self._groups())

    def found_in(self, others: Hashed) -> Counter[int | None]:
        """Counts of these hashes by split in `others` (equally partitioned); under None those missing there."""
        counts: Counter[int | None] = Counter()
        for file in sorted(self.folder.iterdir()):
            wanted, there = np.unique(_read(file)["hash"]), others.folder / file.name
            held = _read(there) if there.exists() else np.empty(0, _HELD)
            mine, first = np.unique(held["hash"], return_index=True)
            _, _, at = np.intersect1d(wanted, mine, assume_unique=True, return_indices=True)
            counts.update(held["split"][first[at]].tolist())
            counts[None] += len(wanted) - len(at)
        return counts

    def in_two_splits(self) -> int:
        """Number of hashes in more than one split."""
        return int(sum(np.count_nonzero(low != high) for _, _, low, high in self._groups()))

    def _groups(self) -> Iterator[tuple[Hashes, NDArray[Any], NDArray[Any], NDArray[Any]]]:
        """Per partition: distinct hashes, their counts, and the lowest and highest split of each."""
        yield (np.empty(0, np.uint64), *(np.empty(0, int),) * 3)  # at least one item, even without rows
        for file in sorted(self.folder.iterdir()):
            held = _read(file)
            held = held[np.argsort(held["hash"])]  # sorting records is ten times slower
            hashes, starts, counts = np.unique(held["hash"], return_index=True, return_counts=True)
            low, high = (reduce.reduceat(held["split"], starts) for reduce in (np.minimum, np.maximum))
            yield hashes, counts, low, high


def _read(file: Path) -> NDArray[Any]:
    return np.fromfile(file, _HELD)

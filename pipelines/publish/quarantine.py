"""What a dataset version has in quarantine, in lines for a person: each reason with its count and its first row."""

from __future__ import annotations

from contextlib import suppress

import pyarrow as pa

from millstream.tracking.dataset.filesystems import files_below
from millstream.tracking.dataset.manifest import ASIDE
from millstream.tracking.dataset.shard_reader import quarantined
from millstream.tracking.dataset.version import Dataset

MOST_REASONS, MOST_BATCHES, LONGEST = 20, 50, 80


def summary(dataset: Dataset) -> list[str]:
    """A line for each reason, most frequent first, with the id and the content of its first row."""
    counts = sorted(dataset.manifest.quarantine.items(), key=lambda one: (-one[1], one[0]))
    first = _first(dataset, {reason for reason, _ in counts[:MOST_REASONS]}) if counts else {}
    lines = []
    for reason, count in counts[:MOST_REASONS]:
        where = f"; the first is {first[reason]}" if reason in first else ""
        lines.append(f"quarantined: {count:,} {'row' if count == 1 else 'rows'}: {reason}{where}")
    rest = counts[MOST_REASONS:]
    if rest:
        lines.append(f"quarantined: {sum(count for _, count in rest):,} rows for {len(rest)} other reasons")
    return lines


def _first(dataset: Dataset, reasons: set[str]) -> dict[str, str]:
    """The first row of each reason, among the first batches: its id and its content; none where they are damaged."""
    found: dict[str, str] = {}
    with suppress(pa.ArrowException, OSError, KeyError):  # `verify` reports a damaged quarantine
        _read(dataset, reasons, found)
    return found


def _read(dataset: Dataset, reasons: set[str], found: dict[str, str]) -> None:
    batches = 0
    for file in (f"{ASIDE}/{name}" for name in files_below(dataset.folder / ASIDE) if name.endswith(".parquet")):
        for piece in quarantined(dataset, file, ["sample_id", "reason", "content"]):
            for row in piece.to_pylist():
                found.setdefault(row["reason"], f"{row['sample_id']}: {str(row['content'])[:LONGEST]!r}")
            batches += 1
            if reasons <= set(found) or batches >= MOST_BATCHES:
                return

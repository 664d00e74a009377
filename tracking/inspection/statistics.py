"""Column statistics, gathered batch by batch in memory independent of the number of rows.

Counts, means, deviations and extremes cover all values. Quartiles and histograms of large columns come from a sample,
the rows with the lowest draws, and its size is reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from millstream.tracking.dataset.records import Column
from millstream.tracking.inspection.spread import KEPT_VALUES, Moments, Numbers_N, Sample, Spread, edges_of
from millstream.tracking.serving import tokenizer

KEPT_TEXTS = 10_000
MOST_DIFFERENT = 10_000
"""Maximum number of distinct texts that are counted; beyond it, the most frequent is of no interest."""
LONGEST = 1000
"""Characters of a text in which words are counted."""
LENGTHS = ("length", "steps")
"""Columns with the number of real steps of a series; the rest is padding."""
SHOWN = 20


class Summary(BaseModel, frozen=True):
    """Statistics of a column in one split."""

    rows: int
    missing: int
    """Rows that are null, or a non-finite number."""
    measured: Literal["values", "characters", "tokens", "elements"]
    """What `spread` measures: the numbers themselves, lengths of texts or lists, or all elements of tensors."""
    spread: Spread | None = None
    frequent: dict[str, int] = {}
    """The most frequent classes, texts, words or tokens, with their counts."""
    counted: int = 0
    """Number of rows they were counted in: all, or a sample of texts."""
    different: int | None = None
    """Number of distinct values; None if counting stopped early."""


class Gathering(Protocol):
    """Accumulator of statistics for a column in one split."""

    rows: int
    numbers: Moments

    def add(self, piece: pa.RecordBatch, draws: Numbers_N) -> None:
        """Add rows; `draws` are their sampling keys in [0, 1), the same in every run."""
        ...

    def summary(self, spread: Spread | None) -> Summary: ...


def gathering(column: Column) -> Gathering:
    """An empty accumulator that fits the column."""
    if column.layout == "tensor":
        return _Elements(column) if column.classes is None else _Shares(column)
    if column.layout == "list":
        return _Lists(column)
    if column.meaning == "category" and column.dtype != "string":
        return _Classes(column)
    return _Texts(column) if column.dtype == "string" else _Plain(column)


def summaries(gathered: Mapping[str, Gathering]) -> dict[str, Summary]:
    """Statistics of one column by split; histograms of all splits share their bins."""
    kept = [statistics.numbers.kept() for statistics in gathered.values()]
    edges = edges_of(np.concatenate(kept)) if any(map(len, kept)) else np.empty(0)
    return {split: statistics.summary(statistics.numbers.spread(edges)) for split, statistics in gathered.items()}


class _Rows:
    """Counts rows and missing values."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.rows, self.missing = 0, 0

    def values(self, piece: pa.RecordBatch, draws: Numbers_N) -> tuple[pa.Array, Numbers_N]:
        """The non-missing values, with the draws of their rows."""
        found = piece.column(piece.schema.get_field_index(self.column.name))
        self.rows, self.missing = self.rows + len(found), self.missing + found.null_count
        there = found.is_valid().to_numpy(zero_copy_only=False)
        return (found.drop_null(), draws[there]) if found.null_count else (found, draws)


class _Plain(_Rows):
    """Numbers and times."""

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.numbers = Moments(KEPT_VALUES)

    def add(self, piece: pa.RecordBatch, draws: Numbers_N) -> None:
        values, draws = self.values(piece, draws)
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.timestamp("us", values.type.tz)).cast(pa.int64())
        self.numbers.add(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), draws)

    def summary(self, spread: Spread | None) -> Summary:
        missing = self.rows - self.numbers.count
        return Summary(rows=self.rows, missing=missing, measured="values", spread=spread)


class _Classes(_Rows):
    """Class indices, with the names of all classes, including empty ones."""

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.numbers = Moments(0)
        self.counts: Counter[int] = Counter()

    def add(self, piece: pa.RecordBatch, draws: Numbers_N) -> None:
        self.counts.update(_value_counts(self.values(piece, draws)[0]))

    def summary(self, spread: Spread | None) -> Summary:
        named = Counter({name: self.counts[at] for at, name in enumerate(self.column.classes or ())})
        different = sum(count > 0 for count in self.counts.values())
        facts = {"frequent": _most(named), "counted": self.rows, "different": different}
        return Summary(rows=self.rows, missing=self.missing, measured="values", **facts)


class _Texts(_Rows):
    """Lengths of texts; counts of whole texts if many are equal, otherwise of their words."""

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.numbers = Moments(KEPT_VALUES)
        self.counts: Counter[str] | None = Counter()
        self.sample = Sample(KEPT_TEXTS)

    def add(self, piece: pa.RecordBatch, draws: Numbers_N) -> None:
        values, draws = self.values(piece, draws)
        self.numbers.add(pc.utf8_length(values).to_numpy(zero_copy_only=False), draws)
        self.sample.add(pc.utf8_slice_codeunits(values, 0, LONGEST).to_numpy(zero_copy_only=False), draws)
        if self.counts is not None:
            self.counts.update(_value_counts(values))
            if len(self.counts) > MOST_DIFFERENT:
                self.counts = None

    def summary(self, spread: Spread | None) -> Summary:
        different = len(self.counts) if self.counts is not None else None
        if self.counts is not None and 2 * len(self.counts) <= self.rows:
            frequent, counted = _most(self.counts), self.rows
        else:
            texts = self.sample.kept().tolist()
            words = Counter(word for text in texts for word in tokenizer.words(text))
            frequent, counted = _most(words), len(texts)
        facts = {"frequent": frequent, "counted": counted, "different": different}
        return Summary(rows=self.rows, missing=self.missing, measured="characters", spread=spread, **facts)


class _Lists(_Rows):
    """Lengths of lists, and counts of their tokens."""

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.numbers = Moments(KEPT_VALUES)
        self.counts: Counter[int] = Counter()

    def add(self, piece: pa.RecordBatch, draws: Numbers_N) -> None:
        values, draws = self.values(piece, draws)
        self.numbers.add(pc.list_value_length(values).to_numpy(zero_copy_only=False), draws)
        if self.column.vocabulary is not None:
            self.counts.update(_value_counts(values.flatten()))

    def summary(self, spread: Spread | None) -> Summary:
        names = self.column.vocabulary or ()
        counted = Counter({names[at] if 0 <= at < len(names) else f"#{at}": n for at, n in self.counts.items()})
        facts = {"frequent": _most(counted), "counted": self.rows, "different": len(counted) if names else None}
        return Summary(rows=self.rows, missing=self.missing, measured="tokens", spread=spread, **facts)


class _Elements(_Rows):
    """All elements of tensors; for series without padding."""

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.dtype = np.dtype(column.dtype).newbyteorder("<")
        self.numbers = Moments(KEPT_VALUES // max(1, int(np.prod(column.shape))))

    def add(self, piece: pa.RecordBatch, draws: Numbers_N) -> None:
        values, draws = self.values(piece, draws)
        found = np.frombuffer(b"".join(values.to_pylist()), self.dtype).reshape(len(values), *self.column.shape)
        lengths = next((name for name in LENGTHS if name in piece.schema.names), None)
        if self.column.meaning == "series" and lengths is not None and len(values) == len(piece):
            padding = np.arange(found.shape[1]) >= np.array(piece.column(lengths).to_pylist())[:, None]
            found = found.astype(np.float32)
            found[padding] = np.nan
        self.numbers.add(found.reshape(len(values), -1), draws)

    def summary(self, spread: Spread | None) -> Summary:
        return Summary(rows=self.rows, missing=self.missing, measured="elements", spread=spread)


class _Shares(_Rows):
    """Vectors with one element per class, such as tags: rows with a positive value per class."""

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.dtype = np.dtype(column.dtype).newbyteorder("<")
        self.numbers = Moments(0)
        self.counts_K = np.zeros(column.shape, np.int64)

    def add(self, piece: pa.RecordBatch, draws: Numbers_N) -> None:
        values, _ = self.values(piece, draws)
        shares_NK = np.frombuffer(b"".join(values.to_pylist()), self.dtype).reshape(len(values), *self.column.shape)
        self.counts_K += (shares_NK > 0).sum(axis=0)

    def summary(self, spread: Spread | None) -> Summary:
        named = Counter(dict(zip(self.column.classes or (), self.counts_K.tolist(), strict=True)))
        different = int(np.count_nonzero(self.counts_K))
        facts = {"frequent": _most(named), "counted": self.rows, "different": different}
        return Summary(rows=self.rows, missing=self.missing, measured="values", **facts)


def _value_counts(values: pa.Array) -> dict[Any, int]:
    found = values.drop_null().value_counts()
    return dict(zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True))


def _most(counts: Counter[str]) -> dict[str, int]:
    """The most frequent ones; ties by name, independent of row order."""
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:SHOWN])

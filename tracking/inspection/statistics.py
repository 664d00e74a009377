"""What the values of a column are like: gathered piece by piece, in memory that does not grow with the rows.

Counts, means, deviations and ends are of all values that were given. Quartiles and histograms are of a sample when the
values are too many to be kept: those of the rows with the lowest draws, and how many they are is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel

from tracking import tokens
from tracking.manifest import Column

KEPT_VALUES = 1 << 20
"""Most values of a column that are kept to find quartiles: 8 MB."""
KEPT_TEXTS = 10_000
MOST_DIFFERENT = 10_000
"""Texts of so many kinds are counted; of more, nobody asks which one is the most frequent."""
LONGEST = 1000
"""Characters of a text whose words are counted."""
LENGTHS = ("length", "steps")
"""Columns that say how many steps of a series are real; the rest is padding."""
SHOWN = 20
BINS = 40

Numbers_N = NDArray[np.float64]


class Spread(BaseModel, frozen=True):
    """How numbers are spread. `deviation` is that of the population. Times are microseconds since 1970."""

    count: int
    mean: float
    deviation: float
    quartiles: tuple[float, float, float, float, float]
    """The least, three quartiles, the greatest."""
    kept: int
    """How many values the quartiles between and the histogram are from: all, or those of a sample of rows."""
    edges: tuple[float, ...]
    """Of the histogram's bins. What lies outside is counted in the outermost bins."""
    bins: tuple[int, ...]


class Summary(BaseModel, frozen=True):
    """A column in one split."""

    rows: int
    missing: int
    """Rows without a value: null, or a number that is not finite."""
    measured: Literal["values", "characters", "tokens", "elements"]
    """What `spread` is of: the numbers themselves, the lengths of texts or lists, all elements of the tensors."""
    spread: Spread | None = None
    frequent: dict[str, int] = {}
    """The most frequent classes, texts, words or tokens, and how often each comes."""
    counted: int = 0
    """In how many rows they were counted: all, or a sample of texts."""
    different: int | None = None
    """How many different ones there are; None when nobody counted to the end."""


class Gathering(Protocol):
    """What is known of a column in one split so far."""

    rows: int
    numbers: Moments

    def add(self, piece: pa.RecordBatch, draws: Numbers_N) -> None:
        """Take some rows; `draws` are their numbers in [0, 1), the same in every run."""
        ...

    def summary(self, spread: Spread | None) -> Summary: ...


def gathering(column: Column) -> Gathering:
    """An empty one of the kind that fits the column."""
    if column.layout == "tensor":
        return _Elements(column)
    if column.layout == "list":
        return _Lists(column)
    if column.meaning == "category" and column.dtype != "string":
        return _Classes(column)
    return _Texts(column) if column.dtype == "string" else _Plain(column)


def summaries(gathered: Mapping[str, Gathering]) -> dict[str, Summary]:
    """Of one column by split; the histograms of all splits have the same bins."""
    kept = [one.numbers.kept() for one in gathered.values()]
    edges = _edges(np.concatenate(kept)) if any(map(len, kept)) else np.empty(0)
    return {split: one.summary(one.numbers.spread(edges)) for split, one in gathered.items()}


class Sample:
    """The items of the rows with the lowest draws, at most `most` of them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.items: NDArray[Any] = np.empty(0, np.float64)
        self.draws: Numbers_N = np.empty(0, np.float64)

    def add(self, items: NDArray[Any], draws: Numbers_N) -> None:
        self.items = np.concatenate([self.items, items]) if len(self.items) else items
        self.draws = np.concatenate([self.draws, draws]) if len(self.draws) else draws
        if len(self.items) > 2 * self.most:
            self._cut()

    def kept(self) -> NDArray[Any]:
        if len(self.items) > self.most:
            self._cut()
        return self.items

    def _cut(self) -> None:
        low = np.argpartition(self.draws, self.most)[: self.most]
        self.items, self.draws = self.items[low], self.draws[low]


class Moments:
    """Mean and squared distances by parts that are put together (Chan et al. 1983, doi:10.2307/2683386)."""

    def __init__(self, rows_kept: int) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0
        self.low, self.high = np.inf, -np.inf
        self.sample = Sample(max(1, rows_kept))

    def add(self, values: NDArray[Any], draws: Numbers_N) -> None:
        """`values` (N,) or (N, D): D numbers of each row. Those that are not finite are not counted."""
        found = values.astype(np.float64, copy=False)
        found = found[np.isfinite(found)]
        if not found.size:
            return
        mean, count = float(found.mean()), found.size
        apart, total = mean - self.mean, self.count + count
        self.squares += float(np.square(found - mean).sum()) + apart**2 * self.count * count / total
        self.mean += apart * count / total
        self.count = total
        self.low, self.high = min(self.low, float(found.min())), max(self.high, float(found.max()))
        self.sample.add(values, draws)

    def kept(self) -> Numbers_N:
        kept: Numbers_N = self.sample.kept().astype(np.float64).ravel()
        finite: Numbers_N = kept[np.isfinite(kept)]
        return finite

    def spread(self, edges: Numbers_N) -> Spread | None:
        if not self.count:
            return None
        kept = self.kept()
        bins, _ = np.histogram(np.clip(kept, edges[0], edges[-1]), edges)
        return Spread(
            count=self.count,
            mean=self.mean,
            deviation=float(np.sqrt(self.squares / self.count)),
            quartiles=(self.low, *np.quantile(kept, [0.25, 0.5, 0.75]).tolist(), self.high),
            kept=len(kept),
            edges=tuple(edges.tolist()),
            bins=tuple(bins.tolist()),
        )


def _edges(kept: Numbers_N) -> Numbers_N:
    """Of the bins of a histogram: whole numbers each get their own as long as they are few; a long tail is cut."""
    low, high = float(kept.min()), float(kept.max())
    if high - low < BINS and np.all(kept == np.rint(kept)):
        return np.arange(low - 0.5, high + 1)
    most = np.quantile(kept, [0.005, 0.995])
    reach = 0.5 * (most[1] - most[0])
    if reach > 0:  # else nearly all values are one
        low, high = max(low, most[0] - reach), min(high, most[1] + reach)
    return np.linspace(low, high, BINS + 1)


class _Rows:
    """Counts rows and those without a value."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.rows, self.missing = 0, 0

    def values(self, piece: pa.RecordBatch, draws: Numbers_N) -> tuple[pa.Array, Numbers_N]:
        """The values that are there, with the draws of their rows."""
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
    """Numbers of classes; the names of all of them, also of those that no row has."""

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
    """Lengths of texts; whole texts if many are equal, else their words."""

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
            words = Counter(word for text in texts for word in tokens.words(text))
            frequent, counted = _most(words), len(texts)
        facts = {"frequent": frequent, "counted": counted, "different": different}
        return Summary(rows=self.rows, missing=self.missing, measured="characters", spread=spread, **facts)


class _Lists(_Rows):
    """Lengths of lists, and which tokens are in them."""

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
        told = Counter({names[at] if 0 <= at < len(names) else f"#{at}": n for at, n in self.counts.items()})
        facts = {"frequent": _most(told), "counted": self.rows, "different": len(told) if names else None}
        return Summary(rows=self.rows, missing=self.missing, measured="tokens", spread=spread, **facts)


class _Elements(_Rows):
    """All numbers in tensors of one shape; of a series those of its real steps."""

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


def _value_counts(values: pa.Array) -> dict[Any, int]:
    found = values.drop_null().value_counts()
    return dict(zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True))


def _most(counts: Counter[str]) -> dict[str, int]:
    """The most frequent ones; of equals the first by name, whatever the order in which they came."""
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:SHOWN])

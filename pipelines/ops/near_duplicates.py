"""Near-duplicate rows by locality-sensitive hashing (bands of hashes), without comparing all pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.pipelines.ops import perceptual_hash
from millstream.pipelines.spark.frames import named
from millstream.pipelines.table import Table
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData

ROWS_A_BUCKET = 10_000
PAIRS_AT_ONCE = 1 << 18
_KEYED = "key bigint, sample_id string, side int, look binary"
_LINKED = "one string, other string, side int"


@dataclass(frozen=True)
class Near:
    """Thresholds for near-duplicate images and texts."""

    distance: int = 4
    """Largest Hamming distance of two images' 64-bit perceptual hashes."""
    alike: float = 0.0
    """Smallest correlation of two images' grey pixels: different small drawings may share a hash."""
    similarity: float = 0.8
    """Smallest Jaccard index of two lowercased texts' shingles."""
    shingle: int = 5
    """Characters of a shingle."""


def near_groups(table: Table, column: str, near: Near) -> DataFrame:
    """sample_id and group of every row; `group` is the smallest sample_id of all rows linked to it.

    Links chain: the first and the last of a group may be less similar. Only rows with a near-duplicate are collected to
    the driver. Raises BadData when the column is neither image nor text.
    """
    linked = links(table, column, near, F.lit(0))
    tops = components((row[0], row[1]) for row in linked.toLocalIterator())
    known = linked.sparkSession.createDataFrame(list(tops.items()), "sample_id string, top string")
    joined = table.frame.select("sample_id").join(known, "sample_id", "left")
    return joined.select("sample_id", F.coalesce("top", "sample_id").alias("group"))


def links(table: Table, column: str, near: Near, side: F.Column) -> DataFrame:
    """Pairs of near-duplicates: their sample_ids `one` and `other`, and the side of the other.

    Rows of side 0 are compared with each other, rows of side 1 only with those of side 2 and above. A pair may occur
    several times; the first of equal rows of side 1 represents all. Raises BadData when the column is neither image nor
    text.
    """
    compared = table.column(column)
    kind: _Kind
    if compared is not None and compared.meaning == "image":
        kind = _Images(compared, near)
    elif compared is not None and compared.dtype == "string":
        kind = _Texts(near)
    else:
        raise BadData.at(f"column {column!r}", f"neither an image nor a text; it has {[c.name for c in table.columns]}")
    rows = table.frame.select("sample_id", side.cast("int").alias("side"), named(column).alias("content"))
    buckets = 1 + rows.count() // ROWS_A_BUCKET
    if buckets == 1:
        # a second Python stage would take longer than comparing all of them in one
        return rows.coalesce(1).mapInPandas(_linked(kind), _LINKED)
    keyed = rows.mapInPandas(_keyed(kind), _KEYED).withColumn("bucket", F.pmod("key", F.lit(buckets)))
    return keyed.groupBy("bucket").applyInPandas(_matched(kind), _LINKED)


def comparable(table: Table) -> list[str]:
    """The inputs that are images or texts; a tokenized text has the role key."""
    has_tokens = any(column.meaning == "tokens" for column in table.columns)
    roles = {"image": ("input",), "text": ("input", "key") if has_tokens else ("input",)}
    return [column.name for column in table.columns if column.role in roles.get(column.meaning, ())]


def components(links: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Connected components: for each linked name the smallest name of its component."""
    above: dict[str, str] = {}

    def top(name: str) -> str:
        while above.setdefault(name, name) != name:
            above[name] = name = above[above[name]]  # path halving
        return name

    for one, other in links:
        first, second = sorted((top(one), top(other)))
        above[second] = first
    return {name: top(name) for name in list(above)}


class _Kind(Protocol):
    """How rows of a modality are compared."""

    def look(self, content: Any) -> tuple[bytes, list[int]]:
        """The compared content, and the keys of its bands: near-duplicates share a key."""
        ...

    def near(self, one: list[bytes], other: list[bytes]) -> NDArray[np.bool_]:
        """Whether each pair of looks is a near-duplicate."""
        ...


@dataclass(frozen=True)
class _Images:
    """A look is the hash and the pixels of a thumbnail."""

    column: Column
    options: Near

    def look(self, content: Any) -> tuple[bytes, list[int]]:
        dtype = np.dtype(self.column.dtype).newbyteorder("<")
        small = perceptual_hash.thumbnail(np.frombuffer(content, dtype).reshape(self.column.shape))
        bits = perceptual_hash.thumbnail_hash(small)
        look, keys = bits.to_bytes(8, "little", signed=True), perceptual_hash.bit_keys(bits, self.options.distance)
        if self.options.alike:
            look += np.clip(np.rint(small), 0, 255).astype(np.uint8).tobytes()
        return look, keys

    def near(self, one: list[bytes], other: list[bytes]) -> NDArray[np.bool_]:
        first, second = (np.frombuffer(b"".join(side), np.uint8).reshape(len(side), -1) for side in (one, other))
        differ = np.unpackbits(first[:, :8] ^ second[:, :8], axis=1).sum(axis=1)
        is_near: NDArray[np.bool_] = differ <= self.options.distance
        if self.options.alike:
            is_near[is_near] = (
                perceptual_hash.correlations(first[is_near, 8:], second[is_near, 8:]) >= self.options.alike
            )
        return is_near


@dataclass(frozen=True)
class _Texts:
    """A look is the text itself."""

    options: Near

    def look(self, content: Any) -> tuple[bytes, list[int]]:
        text = (content or "").strip().lower()
        signature = perceptual_hash.signature(perceptual_hash.shingles(text, self.options.shingle))
        keys = perceptual_hash.band_keys(signature, perceptual_hash.rows_a_band(self.options.similarity))
        return text.encode(), keys.tolist()

    def near(self, one: list[bytes], other: list[bytes]) -> NDArray[np.bool_]:
        pieces = {text: perceptual_hash.shingles(text.decode(), self.options.shingle) for text in {*one, *other}}
        pairs = zip(one, other, strict=True)
        return np.array(
            [perceptual_hash.jaccard(pieces[a], pieces[b]) >= self.options.similarity for a, b in pairs], bool
        )


def _keyed(kind: _Kind) -> Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]:
    """Each row once for each of its keys."""

    def keyed(pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for piece in pieces:
            looks = [kind.look(content) for content in piece["content"]]
            rows = piece[["sample_id", "side"]].assign(
                look=[look for look, _ in looks], key=[keys for _, keys in looks]
            )
            yield rows.explode("key").astype({"key": "int64"})[["key", "sample_id", "side", "look"]]

    return keyed


def _matched(kind: _Kind) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The near-duplicate pairs of rows that share a key."""

    def matched(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.sort_values("sample_id", ignore_index=True)
        # equal rows of a side are compared once, through the first of them
        rows["node"] = rows.groupby(["key", "side", "look"])["sample_id"].transform("idxmin")
        codes, looks = pd.factorize(rows["look"])
        nodes = rows.loc[rows["node"] == rows.index, ["key", "side", "node"]]
        pairs = [some[_near(kind, codes[some["one"]], codes[some["node"]], looks)] for some in _pairs(nodes)]
        near = pd.concat([pd.DataFrame({"one": [], "node": []}, dtype=np.int64), *pairs]).merge(rows, on="node")
        equal = rows[(rows["node"] != rows.index) & rows["side"].eq(0)].assign(one=lambda found: found["node"])
        found = pd.concat([near, equal])
        one = rows["sample_id"].reindex(found["one"]).to_numpy()
        return pd.DataFrame({"one": one, "other": found["sample_id"].to_numpy(), "side": found["side"].to_numpy()})

    return matched


def _linked(kind: _Kind) -> Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]:
    """The near-duplicate pairs of all rows, in a single bucket."""

    def linked(pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        rows = [*_keyed(kind)(pieces)]
        if rows:
            yield _matched(kind)(pd.concat(rows, ignore_index=True))

    return linked


def _near(
    kind: _Kind, one: NDArray[np.int64], other: NDArray[np.int64], looks: NDArray[np.object_]
) -> NDArray[np.bool_]:
    """Whether each pair of looks, given by index, is a near-duplicate; repeated pairs are compared once."""
    pairs, places = np.unique(one * len(looks) + other, return_inverse=True)
    is_near: NDArray[np.bool_] = kind.near(list(looks[pairs // len(looks)]), list(looks[pairs % len(looks)]))[places]
    return is_near


def _pairs(nodes: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Pairs of nodes with the same key to compare, `one` and `node`, in pieces: many nodes may share a key."""
    ones, others = (some.sort_values("key") for some in (nodes[nodes["side"] < 2], nodes[nodes["side"] != 1]))
    first, last = (np.searchsorted(others["key"], ones["key"], side=side) for side in ("left", "right"))
    counts = last - first
    borders = np.flatnonzero(np.diff(np.cumsum(counts) // PAIRS_AT_ONCE)) + 1
    for some in np.split(np.arange(len(ones)), borders):
        pair_of = np.repeat(some, counts[some])
        within = np.arange(len(pair_of)) - np.repeat(np.cumsum(counts[some]) - counts[some], counts[some])
        one, other = ones.iloc[pair_of], others.iloc[first[pair_of] + within]
        pairs = pd.DataFrame({"one": one["node"].to_numpy(), "node": other["node"].to_numpy()})
        sides = one["side"].to_numpy(), other["side"].to_numpy()
        kept = pairs[(sides[0] < sides[1]) | ((sides[0] == 0) & (pairs["one"] < pairs["node"]).to_numpy())]
        if len(kept):
            yield kept

"""Groups of rows that are nearly the same, found by bands of their hashes and never by comparing all pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, LongType, StructField, StructType

from pipelines import likeness
from pipelines.rows import named
from pipelines.table import Table
from tracking.faults import BadData
from tracking.manifest import Column


def near_groups(
    table: Table, column: str, *, distance: int = 4, similarity: float = 0.8, shingle: int = 5
) -> DataFrame:
    """sample_id and group of every row; `group` is the smallest sample_id of all rows that are linked to it.

    Pictures are linked when their perceptual hashes differ in at most `distance` of 64 bits, texts (in lower case) when
    the sets of their pieces of `shingle` characters have a Jaccard index of at least `similarity`. Links chain: the
    first and the last of a group may be less alike. The driver holds the rows that have a twin, and no others.
    Raises BadData when the column is neither a picture nor a text.
    """
    found = table.column(column)
    if found is not None and found.meaning == "image":
        return _grouped(*_pictures(table.frame, found, distance))
    if found is not None and found.dtype == "string":
        return _grouped(*_texts(table.frame, found, similarity, shingle))
    raise BadData.at(f"column {column!r}", f"neither a picture nor a text; it has {[c.name for c in table.columns]}")


def components(links: Iterable[tuple[str, str]]) -> dict[str, str]:
    """For each name in a link the smallest name that links lead to."""
    above: dict[str, str] = {}

    def top(name: str) -> str:
        while above.setdefault(name, name) != name:
            above[name] = name = above[above[name]]  # halves the way for the next one
        return name

    for one, other in links:
        first, second = sorted((top(one), top(other)))
        above[second] = first
    return {name: top(name) for name in list(above)}


def _grouped(rows: DataFrame, links: DataFrame) -> DataFrame:
    """`rows` (sample_id, node) with the group of their nodes; a node is the smallest sample_id of equal rows."""
    tops = components((row[0], row[1]) for row in links.toLocalIterator())
    known = links.sparkSession.createDataFrame(list(tops.items()), "node string, top string")
    return rows.join(known, "node", "left").select("sample_id", F.coalesce("top", "node").alias("group"))


def _pictures(frame: DataFrame, column: Column, distance: int) -> tuple[DataFrame, DataFrame]:
    dtype, shape = np.dtype(column.dtype).newbyteorder("<"), column.shape

    @F.pandas_udf(LongType())  # type: ignore[call-overload,untyped-decorator,unused-ignore]
    def hashes(pieces: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for piece in pieces:
            pictures = (np.frombuffer(content, dtype).reshape(shape) for content in piece)
            yield pd.Series([likeness.picture_hash(picture) for picture in pictures], dtype="int64")

    rows = frame.select("sample_id", hashes(named(column.name)).alias("hash")).persist()
    nodes = rows.groupBy("hash").agg(F.min("sample_id").alias("node"))
    bands = [
        F.expr(f"struct({at} AS band, shiftrightunsigned(hash, {shift}) & {(1 << bits) - 1}L AS key)")
        if bits < 64
        else F.expr(f"struct({at} AS band, hash AS key)")
        for at, (shift, bits) in enumerate(likeness.bit_bands(distance))
    ]
    banded = nodes.select("node", "hash", F.explode(F.array(*bands)).alias("place"))
    pairs = _pairs(banded, "place").where(F.expr(f"bit_count(one.hash ^ other.hash) <= {distance}"))
    return rows.join(nodes, "hash").select("sample_id", "node"), _links(pairs)


def _texts(frame: DataFrame, column: Column, similarity: float, shingle: int) -> tuple[DataFrame, DataFrame]:
    rows_a_band = likeness.rows_a_band(similarity)
    shape = StructType([StructField("pieces", ArrayType(LongType())), StructField("keys", ArrayType(LongType()))])

    @F.pandas_udf(shape)  # type: ignore[call-overload,untyped-decorator,unused-ignore]
    def figures(pieces: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        for piece in pieces:
            sets = [likeness.shingles(text, shingle) for text in piece]
            keys = [likeness.band_keys(likeness.signature(one), rows_a_band) for one in sets]
            yield pd.DataFrame({"pieces": [one.view(np.int64) for one in sets], "keys": keys})

    text = F.lower(F.trim(F.coalesce(named(column.name), F.lit(""))))
    rows = frame.select("sample_id", text.alias("text")).persist()
    nodes = rows.groupBy("text").agg(F.min("sample_id").alias("node"))
    known = nodes.select("node", figures("text").alias("its")).select("node", "its.pieces", "its.keys").persist()
    candidates = _links(_pairs(known.select("node", F.explode("keys").alias("key")), "key"))
    pieces = known.select("node", "pieces")
    both = candidates.join(pieces.toDF("one", "first"), "one").join(pieces.toDF("other", "second"), "other")
    common = "size(array_intersect(first, second))"
    alike = both.where(F.expr(f"{common} >= {similarity!r}D * (size(first) + size(second) - {common})"))
    return rows.join(nodes, "text").select("sample_id", "node"), alike.select("one", "other")


def _pairs(nodes: DataFrame, key: str) -> DataFrame:
    same = F.col(f"one.{key}") == F.col(f"other.{key}")
    return nodes.alias("one").join(nodes.alias("other"), same & (F.col("one.node") < F.col("other.node")))


def _links(pairs: DataFrame) -> DataFrame:
    return pairs.select(F.col("one.node").alias("one"), F.col("other.node").alias("other")).distinct()

"""Multi-hot encoding of texts that list tags, with an element for each tag of train."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from pyspark.sql import Column as SparkColumn
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BinaryType, StringType

from millstream.pipelines.spark.frames import named
from millstream.pipelines.table import Learned, Table
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from millstream.tracking.serving import columns


def fit(train: Table, column: Column, separator: str, most: int) -> Learned:
    """Learns {"separator", "classes"}, the classes being all tags of train.

    Raises BadData for another kind of column, and for fewer than two or more than `most` tags.
    """
    if column.dtype != "string" or column.layout != "scalar":
        raise BadData.at("step encode", f"{column.name}: tags are read from a text, and it is {column.dtype}")
    rows = train.frame.select(F.explode(_listed(column, separator)).alias("tag")).distinct().limit(most + 1).collect()
    classes = sorted(row[0] for row in rows)
    if len(classes) < 2:
        message = f"the train rows have {classes or 'no tag'}; expected two or more, set apart by {separator!r}"
        raise BadData.at("step encode", f"{column.name}: {message}")
    if len(classes) > most:
        message = f"more than {most:,} tags in train, as of free text; look at the separator, or tokenize it"
        raise BadData.at("step encode", f"{column.name}: {message}")
    return {"method": "tags", "from": column.dtype, "separator": separator, "classes": classes}


def apply(table: Table, column: Column, learned: Learned) -> Table:
    """The column as float32 (K,). A target is quarantined when it is missing or has a tag that is not in train."""
    classes, separator = tuple(learned["classes"]), learned["separator"]

    @F.pandas_udf(BinaryType())  # type: ignore[call-overload,untyped-decorator,unused-ignore]
    def vectors(pieces: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for piece in pieces:
            yield pd.Series(columns.tag_vectors(piece, classes, separator))

    if column.role == "target":
        strange = F.array_except(_listed(column, separator), F.array(*map(F.lit, classes)))
        known = named(column.name).isNotNull() & (F.size(strange) == 0)
        table = table.refusing(table.frame.where(~known), F.lit(f"{column.name}: missing, or a tag that train has not"))
        table = table.replacing(table.frame.where(known))
    stored = {"dtype": "float32", "layout": "tensor", "shape": (len(classes),), "axes": "K"}
    update = {**stored, "meaning": "vector", "classes": classes}
    return table.replacing(
        table.frame.withColumn(column.name, vectors(named(column.name))), column.model_copy(update=update)
    )


def _listed(column: Column, separator: str) -> SparkColumn:
    """The tags of each row."""

    @F.pandas_udf(ArrayType(StringType()))  # type: ignore[call-overload,untyped-decorator,unused-ignore]
    def listed(pieces: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for piece in pieces:
            yield piece.map(lambda text: columns.tags(text, separator))

    found: SparkColumn = listed(named(column.name))
    return found

"""New rows from old ones, for steps that say how many each row gets: repeated as they are, or changed.

The rows asked for have the whole number `_copies`: how many new ones each of them gets.
"""

from __future__ import annotations

import json

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.steps.augment import COPY, Augment
from pipelines.table import Table

COPIES = "_copies"


def duplicated(asked: Table) -> DataFrame:
    """Each row `_copies` times, with its parent and the number of the copy."""
    op = F.format_string(json.dumps({"op": "duplicate", "copy": "COPY"}).replace('"COPY"', "%d"), COPY)
    return (
        _numbered(asked)
        .withColumns(
            {
                "parent_id": F.coalesce("parent_id", "sample_id"),
                "op": op,
                "sample_id": F.format_string("%s+duplicate-%d", "sample_id", COPY),
            }
        )
        .drop(COPY)
    )


def augmented(asked: Table, ops: tuple[dict[str, float], ...], column: str | None, seed: int) -> DataFrame:
    """Each row `_copies` times, changed by the ops of the step augment. Raises BadData when they fit no column."""
    step = Augment(ops=ops, column=column)
    plain = Table(asked.frame.drop(COPIES), asked.columns)
    return step.made(plain, _numbered(asked), step.fit(plain, seed), seed, "rebalance")


def _numbered(asked: Table) -> DataFrame:
    return asked.frame.withColumn(COPY, F.explode(F.sequence(F.lit(1), COPIES))).drop(COPIES)

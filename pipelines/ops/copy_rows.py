"""New rows from old ones, for steps that say how many each row gets: repeated as they are, or changed.

The rows asked for have the whole number `_copies`: how many new ones each of them gets.
"""

from __future__ import annotations

import json

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.pipelines.steps.augment import COPY, Augment
from millstream.pipelines.table import Learned, Table

COPIES = "_copies"


def duplicated(asked: Table, name: str) -> DataFrame:
    """Each row `_copies` times, with its parent, the number of the copy, and what was done to the row before.

    `name` stands in the new rows' sample_id and op.
    """
    op = json.dumps({"op": name, "copy": "COPY"}).replace('"COPY"', "%d").removesuffix("}")
    # an op is JSON already
    before = F.coalesce(F.concat(F.lit(', "before": '), "op"), F.lit(""))
    return (
        _numbered(asked)
        .withColumns(
            {
                "parent_id": F.coalesce("parent_id", "sample_id"),
                "op": F.concat(F.format_string(op, COPY), before, F.lit("}")),
                "sample_id": F.format_string(f"%s+{name}-%d", "sample_id", COPY),
            }
        )
        .drop(COPY)
    )


def augmented(asked: Table, step: Augment, learned: Learned, seed: int, name: str) -> DataFrame:
    """Each row `_copies` times, changed by the ops of `step`, which has learned of train. Raises BadData as it does."""
    plain = Table(asked.frame.drop(COPIES), asked.columns)
    return step.made(plain, _numbered(asked), learned, seed, name)


def _numbered(asked: Table) -> DataFrame:
    return asked.frame.withColumn(COPY, F.explode(F.sequence(F.lit(1), COPIES))).drop(COPIES)

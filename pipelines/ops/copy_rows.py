"""Copies of rows, exact or augmented, for steps that set the number of copies of each row.

The integer column `_copies` of the rows has the number of new rows made from each.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.pipelines.table import Table

COPIES = "_copies"
COPY = "_copy"
"""The column with the number of a copy, from 1, in rows to augment."""


def duplicated(table: Table, name: str) -> DataFrame:
    """Each row `_copies` times, with its parent, the number of the copy, and the row's earlier op.

    `name` is part of the new rows' sample_id and op.
    """
    op = json.dumps({"op": name, "copy": "COPY"}).replace('"COPY"', "%d").removesuffix("}")
    # an op is JSON already
    before = F.coalesce(F.concat(F.lit(', "before": '), "op"), F.lit(""))
    return (
        _numbered(table)
        .withColumns(
            {
                "parent_id": F.coalesce("parent_id", "sample_id"),
                "op": F.concat(F.format_string(op, COPY), before, F.lit("}")),
                "sample_id": F.format_string(f"%s+{name}-%d", "sample_id", COPY),
            }
        )
        .drop(COPY)
    )


def augmented(table: Table, change: Callable[[Table, DataFrame], DataFrame]) -> DataFrame:
    """Each row `_copies` times, through `change`, which takes the table and its rows with the number of the copy in
    `_copy`."""
    plain = Table(table.frame.drop(COPIES), table.columns)
    return change(plain, _numbered(table))


def _numbered(table: Table) -> DataFrame:
    return table.frame.withColumn(COPY, F.explode(F.sequence(F.lit(1), COPIES))).drop(COPIES)

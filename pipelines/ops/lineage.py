"""Lineage of made rows: names for their sample_id, and the ops applied before."""

from __future__ import annotations

import json
from itertools import chain, count
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def free_name(frame: DataFrame, stem: str) -> str:
    """`stem`, or stem2, stem3 ... if rows of an earlier step already have the name."""
    names = chain([stem], (f"{stem}{at}" for at in count(2)))
    return next(name for name in names if frame.where(F.col("sample_id").contains(f"+{name}-")).isEmpty())


def earlier(op: str | None) -> dict[str, Any]:
    """{"before": the earlier op} of a row that was made itself, else {}; its parent is the original."""
    return {"before": json.loads(op)} if op else {}

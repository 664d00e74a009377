"""What a made row says of where it came from: names for its sample_id, and what was done before."""

from __future__ import annotations

import json
from itertools import chain, count
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def free_name(frame: DataFrame, stem: str) -> str:
    """`stem`, or stem2, stem3 ... where an earlier step of this kind has given its name to rows."""
    names = chain([stem], (f"{stem}{at}" for at in count(2)))
    return next(name for name in names if frame.where(F.col("sample_id").contains(f"+{name}-")).isEmpty())


def earlier(op: str | None) -> dict[str, Any]:
    """What was done to a row before, if it was made itself: its parent is the original."""
    return {"before": json.loads(op)} if op else {}

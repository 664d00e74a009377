"""Small tables for tests of steps."""

from __future__ import annotations

import pandas as pd

from millstream.pipelines.spark.frames import from_pandas
from millstream.tracking.dataset.records import Column

NUMBER = Column(name="wind", dtype="float64", role="input", meaning="number", unit="m/s")
CITY = Column(name="city", dtype="string", role="input", meaning="category")
LABEL = Column(name="label", dtype="string", role="target", meaning="category")
TEXT = Column(name="text", dtype="string", role="input", meaning="text")


def image(*shape):
    return Column(name="image", dtype="uint8", layout="tensor", shape=shape, axes="CHW", role="input", meaning="image")


def table(spark, rows, *columns, partitions=None):
    """Rows are dicts; sample ids default to s0, s1, ..."""
    frame = pd.DataFrame(rows)
    if "sample_id" not in frame:
        frame.insert(0, "sample_id", [f"s{at}" for at in range(len(frame))])
    made = from_pandas(spark, frame, columns)
    return made if partitions is None else type(made)(made.frame.repartition(partitions), made.columns)


def rows_of(table, *names):
    """Rows as tuples of these columns, in the order of sample ids."""
    return [tuple(row) for row in table.frame.orderBy("sample_id").select(*names).collect()]

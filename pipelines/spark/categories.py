"""Categories and labels in Spark: normal form, and conversion for pandas functions."""

from __future__ import annotations

import pandas as pd
from pyspark.sql import Column as SparkColumn
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from millstream.pipelines.spark.frames import named
from millstream.tracking.dataset.records import Column
from millstream.tracking.serving.text_normalization import normal_form


def normal(text: SparkColumn) -> SparkColumn:
    """The text in its normal form, the same as in serving."""

    # no iterator of pieces: Spark computes functions of iterators one after the other, each in a Python of its own
    @F.pandas_udf(StringType())  # type: ignore[call-overload,untyped-decorator,unused-ignore]
    def normal_forms(piece: pd.Series) -> pd.Series:
        return piece.map(normal_form, na_action="ignore")

    found: SparkColumn = normal_forms(text)
    return found


def values_of(column: Column) -> SparkColumn:
    """A categorical column for a pandas function: integers as strings of digits, since Spark's own conversion to pandas
    turns integers with nulls into floats."""
    value = named(column.name)
    return value.cast("string") if column.dtype.startswith(("int", "uint")) else value

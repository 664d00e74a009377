"""Handwritten digits of 8x8 pixels from scikit-learn, without a download.

Source: Alpaydin & Kaynak 1998, UCI Optical Recognition of Handwritten Digits (test part), doi:10.24432/C50P49.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field
from pyspark.sql import SparkSession

from millstream.pipelines.spark.frames import from_pandas
from millstream.pipelines.table import OriginFile, Table
from millstream.tracking.dataset.records import Column

HIGHEST = 16


class Digits(BaseModel, frozen=True, extra="forbid"):
    """1,797 images of ten digits, intensities 0 to 16."""

    licence: ClassVar[str] = "CC BY 4.0"
    origin: ClassVar[str] = "UCI Machine Learning Repository, doi:10.24432/C50P49, as shipped with scikit-learn"
    raw_bytes: ClassVar[int] = 1797 * 64

    limit: int | None = Field(None, ge=1, description="read only this many first rows")

    def origin_files(self) -> tuple[OriginFile, ...]:
        return ()

    def declared(self, classes: tuple[str, ...] = ()) -> tuple[Column, ...]:
        return (
            Column(
                name="image", dtype="uint8", layout="tensor", shape=(1, 8, 8), axes="CHW", role="input", meaning="image"
            ),
            Column(name="label", dtype="int64", role="target", meaning="category", classes=tuple("0123456789")),
        )

    def read(self, spark: SparkSession, files: Mapping[str, Path], seed: int) -> Table:
        rows_N65 = np.loadtxt(_file(), np.int64, delimiter=",", max_rows=self.limit, ndmin=2)
        images, labels = rows_N65[:, :-1].astype(np.uint8), rows_N65[:, -1]
        rows = pd.DataFrame(
            {
                "sample_id": [f"digits/{at:04d}" for at in range(len(images))],
                "image": [image.tobytes() for image in images],
                "label": labels,
            }
        )
        return from_pandas(spark, rows, self.declared())


def _file() -> Path:
    """A line for each image: its pixels and its class. Importing scikit-learn takes longer than all else here."""
    return Path(str(distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")))

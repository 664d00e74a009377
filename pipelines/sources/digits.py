"""Handwritten digits of 8x8 pixels from scikit-learn, without a download.

Source: Alpaydin & Kaynak 1998, UCI Optical Recognition of Handwritten Digits (test part), doi:10.24432/C50P49.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field
from pyspark.sql import SparkSession
from sklearn.datasets import load_digits

from millstream.pipelines.spark.frames import from_pandas
from millstream.pipelines.table import OriginFile, Table
from millstream.tracking.dataset.records import Column

HIGHEST = 16


class Digits(BaseModel, frozen=True, extra="forbid"):
    """1,797 images of ten digits, intensities 0 to 16."""

    licence: ClassVar[str] = "CC BY 4.0"
    origin: ClassVar[str] = "UCI Machine Learning Repository, doi:10.24432/C50P49, as shipped with scikit-learn"

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
        dataset = load_digits()
        images = dataset.images[: self.limit].astype(np.uint8)
        rows = pd.DataFrame(
            {
                "sample_id": [f"digits/{at:04d}" for at in range(len(images))],
                "image": [image.tobytes() for image in images],
                "label": dataset.target[: self.limit].astype(np.int64),
            }
        )
        return from_pandas(spark, rows, self.declared())

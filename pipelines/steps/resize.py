"""Resizing of images and their masks; a served model applies the same to its inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import pandas as pd
from pydantic import BaseModel, Field
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType

from millstream.pipelines.ops.image_columns import images_of
from millstream.pipelines.spark.frames import named
from millstream.pipelines.table import Learned, Place, Table
from millstream.tracking.dataset.records import Column, Served
from millstream.tracking.serving import resampling


class Resize(BaseModel, frozen=True, extra="forbid"):
    """Learns {column: {"from_shape", "shape", "dtype", "by"}} from the schema, not from the rows.

    | image (3, 48, 64) | -> | image (3, 24, 32) |    height: 24, width: 32
    """

    version: ClassVar[int] = 1
    place: ClassVar[Place] = "any"
    served: ClassVar[Served] = "replayed"
    train_only: ClassVar[bool] = False

    height: int = Field(ge=1, le=4096, description="height in pixels after resizing")
    width: int = Field(ge=1, le=4096, description="width in pixels")
    method: Literal["nearest", "bilinear", "bicubic", "area"] = Field("bilinear", description="interpolation")
    columns: tuple[str, ...] | None = Field(None, description="images to resize; default: all images")
    masks: tuple[str, ...] = Field((), description="masks of classes, always resized by nearest")

    def fit(self, train: Table, seed: int) -> Learned:
        """Raises BadData for a column that is no image, and without any image."""
        shapes = {}
        for column in images_of(train, self.columns, self.masks, "step resize"):
            by = "nearest" if column.name in self.masks else self.method
            shape = (column.shape[0], self.height, self.width)
            shapes[column.name] = {
                "from_shape": list(column.shape), "shape": list(shape), "dtype": column.dtype, "by": by
            }  # fmt: skip
        return shapes

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        for column in images_of(table, self.columns, self.masks, "step resize"):
            frame = table.frame.withColumn(column.name, _resized(column, learned[column.name]))
            table = table.replacing(frame, column.model_copy(update={"shape": tuple(learned[column.name]["shape"])}))
        return table


def _resized(column: Column, figures: dict[str, Any]) -> Any:
    @F.pandas_udf(BinaryType())  # type: ignore[call-overload,untyped-decorator,unused-ignore]
    def resized(pieces: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for piece in pieces:
            yield piece.map(lambda content: resampling.resized(content, figures))

    return resized(named(column.name))

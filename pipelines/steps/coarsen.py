"""Low-resolution copies of images: the inputs of super-resolution, whose targets are the originals.

Downsampling is bicubic with antialiasing (`tracking/serving/bicubic.py`), as in most of the literature since Timofte
et al. 2013, doi:10.1109/ICCV.2013.241. The result is stored as floats: rounding it would lower the PSNR.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import or_
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, StructField, StructType

from millstream.pipelines.readers.images import SIZES
from millstream.pipelines.spark.frames import in_pandas, named
from millstream.pipelines.table import Learned, Place, Table
from millstream.tracking.dataset.records import Column, Served
from millstream.tracking.errors import BadData
from millstream.tracking.serving.bicubic import resampled

OPAQUE = 255


class Coarsen(BaseModel, frozen=True, extra="forbid"):
    """The high-resolution image becomes the target, with one more channel: a mask, 255 in the image, 0 in the padding.

    | image (1, 9, 9) |    | image (2, 9, 9), target | coarse (1, 3, 3), float32 |    scale: 3
    | ...             | -> | ...                     | ...                       |

    Frames, and images in them that keep their own sizes, are cropped to multiples of the scale. The padding of a
    smaller low-resolution image is mirrored, so that upsampling adds no dark edge. A served model takes low-resolution
    images.
    """

    version: ClassVar[int] = 1
    place: ClassVar[Place] = "any"
    served: ClassVar[Served] = "brought"
    train_only: ClassVar[bool] = False

    scale: int = Field(ge=2, le=16, description="upscaling factor of height and width")
    column: str = Field("image", description="the high-resolution image, uint8")
    to: str = Field("coarse", description="name of the new column of low-resolution images")

    def fit(self, train: Table, seed: int) -> Learned:
        return {}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        """Raises BadData for a column that is no uint8 image, and for frames smaller than one low-resolution pixel."""
        column = table.column(self.column)
        if column is None or column.layout != "tensor" or len(column.shape) != 3 or column.dtype != "uint8":
            raise BadData.at("step coarsen", f"{self.column!r} is not an image of bytes; the source images reads such")
        maps, height, width = column.shape[0], *(side // self.scale for side in column.shape[1:])
        if not height or not width:
            raise BadData.at("step coarsen", f"frames of {column.shape[1:]}; expected {self.scale} or more on a side")
        sized = table.column(SIZES[0]) is not None
        if sized:
            table = self._large_enough(table)
        schema = StructType([*table.frame.schema.fields, StructField(self.to, BinaryType())])
        fine, scale = column, self.scale

        def made(pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
            for piece in pieces:
                images = [np.frombuffer(one, np.uint8).reshape(fine.shape) for one in piece[fine.name]]
                sizes = piece[list(SIZES)].to_numpy() if sized else np.tile(fine.shape[1:], (len(piece), 1))
                pairs = [_pair(one, tuple(size), scale) for one, size in zip(images, sizes.tolist(), strict=True)]
                columns = {fine.name: [pair[0].tobytes() for pair in pairs], self.to: [p[1].tobytes() for p in pairs]}
                yield piece.assign(**columns)

        shape = (maps + 1, height * scale, width * scale)
        target = column.model_copy(update={"role": "target", "shape": shape})
        coarse = Column(
            name=self.to, dtype="float32", layout="tensor", shape=(maps, height, width), axes="CHW", role="input",
            meaning="image", unit=column.unit,
        )  # fmt: skip
        return table.replacing(in_pandas(table.frame, made, schema).select(*map(named, schema.names)), target, coarse)

    def _large_enough(self, table: Table) -> Table:
        is_small = reduce(or_, (named(name) < self.scale for name in SIZES))
        table = table.refusing(table.frame.where(is_small), F.lit(f"is smaller than {self.scale} pixels"))
        return table.replacing(table.frame.where(~is_small))


def _pair(
    frame_CHW: NDArray[np.uint8], size: tuple[int, ...], scale: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The high-resolution image with its mask channel, and the low-resolution image, both padded to their frames."""
    rows, columns = (side // scale for side in size)
    fine_CHW = frame_CHW[:, : rows * scale, : columns * scale]
    below, right = frame_CHW.shape[1] // scale - rows, frame_CHW.shape[2] // scale - columns
    coarse_CHW = np.pad(resampled(fine_CHW, rows, columns), [(0, 0), (0, below), (0, right)], mode="symmetric")
    opaque_CHW = np.concatenate([fine_CHW, np.full_like(fine_CHW[:1], OPAQUE)])
    return np.pad(opaque_CHW, [(0, 0), (0, below * scale), (0, right * scale)]), coarse_CHW.astype("<f4")

"""One's own pictures, without writing Python: a folder with a folder of PNG or JPEG files for each class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from PIL import Image, ImageOps
from pydantic import BaseModel, Field
from pyspark.sql import SparkSession
from pyspark.sql.types import StringType, StructField, StructType

from pipelines.rows import schema_of
from pipelines.table import OriginFile, Table
from tracking.faults import BadData
from tracking.manifest import Column

SUFFIXES = (".png", ".jpg", ".jpeg")
MOST_PIXELS = 100_000_000
"""Larger ones are put aside unread: a file of some kilobytes can unfold to gigabytes."""
FILES_A_PARTITION = 500


class Images(BaseModel, frozen=True, extra="forbid"):
    """`<folder>/<class>/<any name>.png`; classes are the folders in the order of their names.

    Pictures are turned upright by their EXIF mark and brought to one size. One that cannot be read is put aside with
    its name and the reason.
    """

    folder: str = Field(description="path of the folder that holds the classes' folders")
    height: int = Field(ge=1, le=4096, description="rows of pixels that each picture is brought to")
    width: int = Field(ge=1, le=4096)
    channels: Literal[1, 3] = Field(3, description="1: grey, 3: red, green and blue; transparent parts become black")
    resize: Literal["crop", "stretch"] = Field(
        "crop", description="crop: the middle, with its proportions kept; stretch: all of it"
    )
    licence: str = "not stated"
    origin: str = "one's own files"

    def origin_files(self) -> tuple[OriginFile, ...]:
        """Raises BadData when there is no such folder, or no picture in it."""
        root = Path(self.folder)
        if not root.is_dir():
            raise BadData.at(root, "no such folder; data.source.folder holds a folder of pictures for each class")
        found = sorted(file for file in root.glob("*/*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not found:
            raise BadData.at(root, f"no pictures in it; expected <class>/<name>, ending in {', '.join(SUFFIXES)}")
        return tuple(OriginFile(file.as_posix()) for file in found)

    def read(self, spark: SparkSession, files: Mapping[str, Path], seed: int) -> Table:
        classes = tuple(sorted({Path(name).parent.name for name in files}))
        shape = (self.channels, self.height, self.width)
        image = Column(
            name="image", dtype="uint8", layout="tensor", shape=shape, axes="CHW", role="input", meaning="image"
        )
        columns = (image, Column(name="label", dtype="int64", role="target", meaning="category", classes=classes))
        listed = pd.DataFrame({"name": list(files), "path": [str(path) for path in files.values()]})
        schema = StructType([*schema_of(columns).fields, StructField("_reason", StringType())])

        def decoded(pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
            for piece in pieces:
                rows = [self._row(Path(name), path, classes) for name, path in zip(piece.name, piece.path, strict=True)]
                yield pd.DataFrame(rows, columns=schema.names)

        partitions = max(1, -(-len(listed) // FILES_A_PARTITION))
        rows = spark.createDataFrame(listed).repartition(partitions).mapInPandas(decoded, schema).persist()
        table = Table(rows.where("_reason IS NULL").drop("_reason"), columns)
        return table.refusing(rows.where("_reason IS NOT NULL"), rows["_reason"])

    def _row(self, name: Path, path: str, classes: tuple[str, ...]) -> dict[str, object]:
        row: dict[str, object] = {
            "sample_id": f"{name.parent.name}/{name.name}",
            "label": classes.index(name.parent.name),
        }
        try:
            return row | {"image": self.pixels(path).tobytes()}
        except ValueError as error:
            return row | {"image": b"", "_reason": str(error)}

    def pixels(self, path: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """A picture as (C, H, W). Raises ValueError with the reason why it cannot be read."""
        if Path(path).stat().st_size == 0:
            raise ValueError("the file is empty")
        Image.MAX_IMAGE_PIXELS = None  # the bound below is ours, and comes before any pixel is read
        try:
            with Image.open(path, formats=("PNG", "JPEG")) as opened:
                if opened.width * opened.height > MOST_PIXELS:
                    raise ValueError(f"more than {MOST_PIXELS:,} pixels")
                upright = ImageOps.exif_transpose(opened)
                sized = self._sized(upright.convert("L" if self.channels == 1 else "RGB"))
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            told = "no whole PNG or JPEG" if isinstance(error, OSError | SyntaxError) else "too large when unfolded"
            raise ValueError(told) from error
        found = np.asarray(sized, dtype=np.uint8)
        return np.ascontiguousarray(found[None] if self.channels == 1 else found.transpose(2, 0, 1))

    def _sized(self, picture: Image.Image) -> Image.Image:
        size = (self.width, self.height)
        if self.resize == "stretch":
            return picture.resize(size, Image.Resampling.BILINEAR)
        return ImageOps.fit(picture, size, Image.Resampling.BILINEAR)

"""MNIST: handwritten digits of 28x28 pixels, from the published IDX files.

Source: LeCun, Cortes & Burges 1998; the format is described in LeCun et al. 1998, doi:10.1109/5.726791.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from pyspark.sql import SparkSession

from millstream.pipelines.spark.frames import from_pandas
from millstream.pipelines.table import OriginFile, Table
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from millstream.tracking.seeds import key

SIDE = 28
CLASSES = tuple("0123456789")
_PARTS = {"train": "train", "test": "t10k"}
_HASHES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"


class Mnist(BaseModel, frozen=True, extra="forbid"):
    """60,000 train and 10,000 test images, as published; intensities 0 to 255."""

    licence: ClassVar[str] = "none stated by the authors; cite LeCun et al. 1998"
    origin: ClassVar[str] = "MNIST, LeCun, Cortes & Burges"

    limit: int | None = Field(None, ge=14, description="read only this many rows in all, with the splits in proportion")

    def origin_files(self) -> tuple[OriginFile, ...]:
        return tuple(OriginFile(f"mnist/{name}.gz", f"{_URL}{name}.gz", sha256) for name, sha256 in _HASHES.items())

    def declared(self, classes: tuple[str, ...] = ()) -> tuple[Column, ...]:
        return (
            Column(
                name="image",
                dtype="uint8",
                layout="tensor",
                shape=(1, SIDE, SIDE),
                axes="CHW",
                role="input",
                meaning="image",
            ),
            Column(name="label", dtype="int64", role="target", meaning="category", classes=CLASSES),
        )

    def read(self, spark: SparkSession, files: Mapping[str, Path], seed: int) -> Table:
        parts = [self._part(split, files) for split in _PARTS]
        return from_pandas(spark, pd.concat(parts, ignore_index=True), self.declared())

    def _part(self, split: str, files: Mapping[str, Path]) -> pd.DataFrame:
        stem = _PARTS[split]
        images = read_idx(files[f"mnist/{stem}-images-idx3-ubyte.gz"])
        labels = read_idx(files[f"mnist/{stem}-labels-idx1-ubyte.gz"])
        if images.shape != (len(labels), SIDE, SIDE):
            raise BadData.at(f"mnist {split}", f"images of shape {images.shape} for {len(labels)} labels")
        taken = np.arange(len(labels))
        if self.limit is not None:
            share = self.limit * (6 if split == "train" else 1) // 7
            taken = np.array(sorted(taken, key=lambda at: key("mnist", split, at))[:share])
        return pd.DataFrame(
            {
                "sample_id": [f"{split}/{at:05d}" for at in taken],
                "split": split,
                "image": [images[at].tobytes() for at in taken],
                "label": labels[taken].astype(np.int64),
            }
        )


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in a gzipped IDX file of unsigned bytes. Raises BadData for another format or a truncated file."""
    try:
        with gzip.open(path) as stream:
            content = stream.read()
        zeros, kind, axes = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{axes}I", content, 4)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise BadData.at(path, f"not a whole gzipped IDX file ({error}); get it again") from error
    body = len(content) - 4 - 4 * axes
    if zeros != 0 or kind != 8 or body != int(np.prod(shape)):
        raise BadData.at(
            path, f"IDX type {kind}, shape {shape}, {body} bytes of values; expected unsigned bytes to match"
        )
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)

"""Video clips from folders of frames, one folder per clip.

source: {name: video, folder: my-clips, frames: 16, stride: 8, height: 64, width: 64}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field
from pyspark.sql import SparkSession
from pyspark.sql.types import StringType, StructField, StructType

from millstream.pipelines.readers import image_folder
from millstream.pipelines.readers.images import Frame, Resize, content_of
from millstream.pipelines.spark.caching import cached
from millstream.pipelines.spark.frames import schema_of
from millstream.pipelines.table import OriginFile, Table
from millstream.tracking.dataset.records import Column

WINDOWS_A_PARTITION = 50


class Video(BaseModel, frozen=True, extra="forbid"):
    """Windows `<clip>/<number of the first frame>` of `<folder>/<clip>/<any name>.png`, frames sorted by name.

    Numbers in names sort by value: frame 9 comes before frame 10. `clip` is a key: split by it, so that windows that
    share frames stay together. A window with a frame that cannot be read is quarantined with the reason, and so is any
    other file in the folder that is not hidden.
    """

    version: ClassVar[int] = 2

    folder: str = Field(description="path or URL of the folder with the clips' folders")
    frames: int = Field(ge=1, le=1024, description="frames T of a window; a shorter clip is quarantined")
    stride: int | None = Field(None, ge=1, description="frames between the starts of two windows; default: T")
    height: int = Field(ge=1, le=4096, description="height in pixels of the resized frames")
    width: int = Field(ge=1, le=4096, description="width in pixels of the resized frames")
    channels: Literal[1, 3] = Field(3, description="1: grey, 3: red, green and blue")
    resize: Resize = Field("crop", description="how frames are resized, as in the source images")
    licence: str = Field("not stated", description="licence of the data, kept in the manifest")
    origin: str = Field("one's own files", description="where the data come from, kept in the manifest")

    def origin_files(self) -> tuple[OriginFile, ...]:
        return ()  # the files in the folder

    def listed_files(self, files: Mapping[str, Path], folders: Sequence[Path]) -> tuple[OriginFile, ...]:
        """Raises BadData when the folder does not exist, or has no files in its folders."""
        return image_folder.listed(self.folder, folders, "clip", "frames")

    def read(self, spark: SparkSession, files: Mapping[str, Path], seed: int) -> Table:
        shape = (self.frames, self.channels, self.height, self.width)
        columns = (
            Column(
                name="frames", dtype="uint8", layout="tensor", shape=shape, axes="TCHW", role="input", meaning="video"
            ),
            Column(name="clip", dtype="string", role="key", meaning="text"),
        )
        schema = StructType([*schema_of(columns).fields, StructField("_reason", StringType())])
        windows = pd.DataFrame(self._windows(files))

        def decoded(pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
            for piece in pieces:
                rows = [self._row(one) for one in piece.to_dict("records")]
                yield pd.DataFrame(rows, columns=schema.names)

        partitions = max(1, -(-len(windows) // WINDOWS_A_PARTITION))
        listed = spark.createDataFrame(windows, "sample_id string, clip string, paths array<string>, reason string")
        rows = cached(listed.repartition(partitions).mapInPandas(decoded, schema))
        table = Table(rows.where("_reason IS NULL").drop("_reason"), columns)
        return table.refusing(rows.where("_reason IS NOT NULL"), rows["_reason"])

    def _windows(self, files: Mapping[str, Path]) -> list[dict[str, Any]]:
        """The windows of every clip with the paths of their frames; a short clip is a single, too short window."""
        listed = image_folder.sort(self.folder, files, "clip", "frames", image_folder.on_this_machine)
        windows: list[dict[str, Any]] = [
            {"sample_id": name, "clip": name.partition("/")[0], "paths": [], "reason": why}
            for name, why in listed.aside.items()
        ]
        for clip, names in groupby(sorted(listed.images, key=_place), key=lambda name: Path(name).parent.name):
            paths = [str(listed.images[name]) for name in names]
            last = max(0, len(paths) - self.frames)
            for start in range(0, last + 1, self.stride or self.frames):
                window = paths[start : start + self.frames]
                windows.append({"sample_id": f"{clip}/{start:06d}", "clip": clip, "paths": window, "reason": None})
        return windows

    def _row(self, window: Mapping[str, Any]) -> dict[str, Any]:
        row = {"sample_id": window["sample_id"], "clip": window["clip"], "frames": b""}
        if window["reason"] is not None:
            return row | {"_reason": window["reason"]}
        if len(window["paths"]) < self.frames:
            return row | {"_reason": f"the clip has fewer than {self.frames} frames"}
        frame = Frame(self.channels, self.height, self.width, self.resize)
        try:
            return row | {"frames": np.stack([frame.pixels(content_of(path)) for path in window["paths"]]).tobytes()}
        except ValueError as error:
            return row | {"_reason": f"a frame: {error}"}


def _place(name: str) -> tuple[str, list[tuple[int, str]]]:
    """Sort key: the clip, then the frame's name with its numbers by value."""
    path = Path(name)
    pieces = re.findall(r"(\d+)|(\D+)", path.name)
    return path.parent.name, [(int(number) if number else -1, text) for number, text in pieces]

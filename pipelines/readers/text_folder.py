"""Texts in a folder with one subfolder per class: each file is a sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from millstream.pipelines.readers.images import content_of
from millstream.pipelines.readers.lines import Encoding
from millstream.tracking.dataset.filesystems import place
from millstream.tracking.serving.text_normalization import normal_form

FILES_A_PARTITION = 2000
SCHEMA = "sample_id string, split string, text string, label string, _odd string"


def texts(spark: SparkSession, folder: str, files: Mapping[str, Path], encoding: Encoding) -> DataFrame:
    """A row for each of the listed files: `<class>/<file>` is its sample_id; `_odd`: why it is no text of a class.

    Bytes that are not in the encoding become U+FFFD.
    """
    root = PurePosixPath(str(place(folder)))
    listed = pd.DataFrame(
        [(str(PurePosixPath(name).relative_to(root)), str(path)) for name, path in sorted(files.items())],
        columns=["sample_id", "path"],
    )
    partitions = max(1, -(-len(listed) // FILES_A_PARTITION))
    frame = spark.createDataFrame(listed, "sample_id string, path string").repartition(partitions)

    def read(pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for piece in pieces:
            pairs = zip(piece["sample_id"], piece["path"], strict=True)
            yield pd.DataFrame(
                [_row(name, path, encoding) for name, path in pairs],
                columns=["sample_id", "split", "text", "label", "_odd"],
            )

    return frame.mapInPandas(read, SCHEMA)


def _row(name: str, path: str, encoding: Encoding) -> tuple[str, None, str, str, str | None]:
    parts = PurePosixPath(name).parts
    if len(parts) != 2:
        where = "lies beside the folders" if len(parts) == 1 else "lies in a folder of a folder"
        return name, None, "", "", where
    try:
        content = content_of(path)
    except ValueError as error:
        return name, None, "", "", str(error)
    text = content.decode("utf-8-sig" if encoding == "utf-8" else encoding, errors="replace")
    return name, None, text, normal_form(parts[0]), None

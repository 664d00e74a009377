"""Images from class folders, from files listed in a CSV table, or from Parquet.

source: {name: images, folder: my-images, height: 64, width: 64}

source:
  name: images
  table: {name: dsb2018_nuclei/index.csv, image: "images/{id}.png", mask: "instances/{id}.png"}
  instances: semantic
  channels: 1
  height: 96
  width: 96

source:
  name: images
  parquet: {files: [{name: cifar10/train-00000.parquet, split: train}], image: jpeg, label: class}
  height: 32
  width: 32
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial, reduce
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field, model_validator
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from millstream.pipelines.readers import image_folder, parquet_schema
from millstream.pipelines.readers.file_spec import NamedFile, SplitFile, called
from millstream.pipelines.readers.images import SIZES, Frame, Resize, content_of, size_of
from millstream.pipelines.readers.stored import images as stored_images
from millstream.pipelines.readers.stored import listing
from millstream.pipelines.readers.stored.listing import IDENTITY
from millstream.pipelines.spark.caching import cached
from millstream.pipelines.spark.categories import normal
from millstream.pipelines.spark.frames import fewest, named, schema_of
from millstream.pipelines.table import Identity, OriginFile, StoredFile, Table
from millstream.tracking.dataset import filesystems as places
from millstream.tracking.dataset.filesystems import files_below
from millstream.tracking.dataset.manifest import SPLITS
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from millstream.tracking.serving.text_normalization import normal_form

FILES_A_PARTITION = 500
_LISTED = ("sample_id", "split", "label", "path", "mask", "_reason")


def _is_none(value: object) -> bool:
    """Whether a field is left out of the version's name, which recipes older than the field keep."""
    return value is None


class Listed(NamedFile, frozen=True, extra="forbid"):
    """A CSV file with a header and a row for each image; the images are in its folder or below."""

    image: str = Field(description="image path relative to the table's folder, with column values: `images/{id}.png`")
    mask: str | None = Field(None, description="path of its mask: integer labels in a lossless format")
    label: str | None = Field(None, description="column that holds the class")
    split: str | None = Field(None, description="column that holds train, valid or test")


class Held(BaseModel, frozen=True, extra="forbid"):
    """Parquet files with encoded image files in a column."""

    files: tuple[SplitFile, ...] = Field(min_length=1, description="Parquet files")
    image: str = Field(description="binary column, or struct column with a field `bytes`")
    label: str | None = Field(None, description="column that holds the class")


class Images(BaseModel, frozen=True, extra="forbid"):
    """Images of one size from class folders, a table or Parquet. Classes are sorted by name.

    Reads all formats of Pillow: PNG, JPEG, BMP, GIF, TIFF, WebP, PPM and more; only the first of several frames. Images
    are rotated by their EXIF orientation; 16-bit grey keeps its upper 8 bits. An image that cannot be read, and any
    other file in the folder that is not hidden, is quarantined with its name and the reason.
    """

    version: ClassVar[int] = 3

    folder: str | None = Field(None, description="path or URL of a folder with `<class>/<any name>.png`")
    table: Listed | None = Field(None, description="images listed in a CSV file")
    parquet: Held | None = Field(None, description="images in columns of Parquet files")
    height: int = Field(ge=1, le=4096, description="height in pixels of the resized images")
    width: int = Field(ge=1, le=4096, description="width in pixels of the resized images")
    channels: Literal[1, 3] = Field(3, description="1: grey, 3: red, green and blue; transparent parts become black")
    resize: Resize = Field(
        "crop",
        description="crop: the centre, with its aspect ratio; stretch: all of it; pad: all of it, black around it; "
        "keep: not resized, padded with black at the right and below, with its size in extra columns",
    )
    instances: Literal["semantic", "labels"] = Field(
        "semantic", description="masks as 0 and 1 (any object), or with their labels unchanged"
    )
    identity: Identity | None = Field(
        None, exclude_if=_is_none, description=f"{IDENTITY}; given for a folder on a disk, the workers hash it, too"
    )
    limit: int | None = Field(None, ge=1, description="read only this many images, those with the lowest hashes")
    licence: str = Field("not stated", description="licence of the data, kept in the manifest")
    origin: str = Field("one's own files", description="where the data come from, kept in the manifest")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [name for name in ("folder", "table", "parquet") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"folder, table, parquet: give one of them; found {given or 'none'}")
        if self.parquet is not None and self.identity is not None:
            raise ValueError("identity: of a folder, or of images that a table names; Parquet files are origin files")
        return self

    def origin_files(self) -> tuple[OriginFile, ...]:
        if self.table is not None:
            return (self.table.origin,)
        if self.parquet is not None:
            return tuple(file.origin for file in self.parquet.files)
        return ()  # the files in the folder

    def listed_files(self, files: Mapping[str, Path], folders: Sequence[Path]) -> tuple[OriginFile, ...]:
        """The files of the folder, or the existing images and masks that the table lists.

        Raises BadData when the folder does not exist or has no files in its folders, and for an invalid table.
        """
        if self.place is not None:
            return ()
        if self.folder is not None:
            return image_folder.listed(self.folder, folders, "class", "images")
        if self.table is None:
            return ()
        above, _, _ = self.table.name.rpartition("/")
        paths = self._paths(files)
        if "://" in above:
            present = set(files_below(places.place(above)))
            there = sorted(path for path in paths if path in present)
        else:
            beside = files[self.table.name].parent
            there = sorted(path for path in paths if path and (beside / path).is_file())
        return tuple(OriginFile(f"{above}/{path}" if above else path) for path in there)

    @property
    def place(self) -> str | None:
        """The folder or table, where workers read the images themselves: behind a URL, or as `identity` demands."""
        where = self.folder if self.table is None else self.table.name
        if where is None:
            return None
        at = places.place(where)
        if isinstance(at, Path) or (self.table is not None and at.scheme != places.S3):
            return where if self.identity is not None else None
        return where

    @property
    def identified_by(self) -> Identity:
        return self.identity or "content"

    def stored_files(self, files: Mapping[str, Path], folders: Sequence[Path]) -> tuple[StoredFile, ...]:
        """Raises BadData as `listed_files`."""
        if self.folder is not None:
            return image_folder.stored(self.folder, folders, "class", "images")
        if self.table is None:
            return ()
        above, _, _ = self.table.name.rpartition("/")
        root = places.place(above) if "://" in above else files[self.table.name].parent
        facts = root.files() if isinstance(root, places.Remote) else {}
        found = []
        for path in sorted(filter(None, self._paths(files))):
            name = f"{above}/{path}" if above else path
            if isinstance(root, places.Remote) and path in facts:
                found.append(listing.remote(name, root / path, facts[path]))
            elif isinstance(root, Path) and (root / path).is_file():
                found.append(listing.on_disk(name, (root / path).absolute()))
        return tuple(found)

    def read(self, spark: SparkSession, files: Mapping[str, Path], seed: int) -> Table:
        """Raises BadData for a table or Parquet file without the configured columns."""
        return self._table(*(self._held(spark, files) if self.parquet else self._named(spark, files)), content_of)

    def read_stored(
        self, spark: SparkSession, stored: Sequence[StoredFile], files: Mapping[str, Path], seed: int
    ) -> Table:
        """Raises BadData as `read`, and for a file that has changed since it was listed."""
        frame, classes = self._named(spark, files, stored)
        if not stored_images.are_opened(stored):
            frame = frame.join(stored_images.contents(spark, stored), "path", "left")
        return self._table(frame, classes, stored_images.content)

    def _table(self, frame: DataFrame, classes: tuple[str, ...] | None, opened: Callable[[str], bytes]) -> Table:
        """`opened`: the bytes of what a row names, on a worker."""
        frame = fewest(frame, self.limit)
        columns = self._columns(classes)
        schema = StructType([*schema_of(columns).fields, StructField("_reason", StringType())])

        def decoded(pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
            for piece in pieces:
                rows = [self._row(one, classes, opened) for one in piece.to_dict("records")]
                yield pd.DataFrame(rows, columns=schema.names)

        rows = cached(frame.mapInPandas(decoded, schema))
        table = Table(rows.where("_reason IS NULL").drop("_reason"), columns)
        return table.refusing(rows.where("_reason IS NOT NULL"), rows["_reason"])

    def declared(self, classes: tuple[str, ...]) -> tuple[Column, ...]:
        labels = [one.label for one in (self.table, self.parquet) if one is not None]
        return self._columns(classes if self.folder is not None or any(labels) else None)

    @property
    def frame(self) -> Frame:
        return Frame(self.channels, self.height, self.width, self.resize)

    def _columns(self, classes: tuple[str, ...] | None) -> tuple[Column, ...]:
        tensor: dict[str, Any] = {"layout": "tensor", "axes": "CHW"}
        columns = [
            Column(name="image", dtype="uint8", shape=self.frame.shape, role="input", meaning="image", **tensor),
        ]
        if self.table and self.table.mask:
            dtype, shape = ("uint8" if self.instances == "semantic" else "int32"), (1, self.height, self.width)
            columns.append(Column(name="mask", dtype=dtype, shape=shape, role="target", meaning="mask", **tensor))
        if self.resize == "keep":
            columns += [Column(name=name, dtype="int32", role="key", meaning="number", unit="pixels") for name in SIZES]
        if classes is not None:
            columns.append(Column(name="label", dtype="int64", role="target", meaning="category", classes=classes))
        return tuple(columns)

    def _named(
        self, spark: SparkSession, files: Mapping[str, Path], stored: Sequence[StoredFile] = ()
    ) -> tuple[DataFrame, tuple[str, ...] | None]:
        """Rows with the images of a folder or table, and the reasons of quarantined ones; the classes."""
        if self.folder is not None:
            rows = _of_folder(spark, self.folder, files, stored)
        elif self.table is not None:
            rows = self._rows(files)
            above, _, _ = self.table.name.rpartition("/")
            at = {file.name: stored_images.reference(file) for file in stored}
            beside = files[self.table.name].parent
            for row in rows:
                for name in ("path", "mask"):
                    if below := row[name]:
                        row[name] = (
                            at.get(f"{above}/{below}" if above else below, "") if stored else str(beside / below)
                        )
        listed = pd.DataFrame(rows, columns=list(_LISTED), dtype=object)
        labelled = self.table is None or self.table.label is not None
        partitions = max(1, -(-len(listed) // FILES_A_PARTITION))
        schema = ", ".join(f"{name} string" for name in _LISTED)
        frame = spark.createDataFrame(listed.where(listed.notna(), None), schema).repartition(partitions)
        return frame, _in_order(listed.label.dropna()) if labelled else None

    def _paths(self, files: Mapping[str, Path]) -> set[str | None]:
        """The images and masks that the table lists, relative to its folder."""
        rows = self._rows(files)
        return {row["path"] for row in rows} | {row["mask"] for row in rows}

    def _rows(self, files: Mapping[str, Path]) -> list[dict[str, str | None]]:
        """The rows of the table, with paths relative to its folder."""
        if self.table is None:
            return []
        listed: list[dict[str, str | None]] = []
        seen: set[str] = set()
        for row in _csv_rows(files[self.table.name], self.table):
            path, mask = _filled(self.table.image, row), _filled(self.table.mask or "", row)
            label = normal_form(row[self.table.label]) if self.table.label else None
            split = row[self.table.split].strip() if self.table.split else None
            reason = None
            if path in seen:
                reason = "the image is named twice"
            elif any(".." in PurePosixPath(one).parts or PurePosixPath(one).is_absolute() for one in (path, mask)):
                reason, path, mask = "leads out of the table's folder", "", ""
            elif label == "":
                reason = "has no label"
            elif split is not None and split not in SPLITS:
                reason, split = f"its split is none of {', '.join(SPLITS)}", None
            name = f"{path or 'line'}{f'#{len(listed) + 2}' if reason else ''}"
            seen.add(path)
            values = (name, split, label or None, path or None, mask or None, reason)
            listed.append(dict(zip(_LISTED, values, strict=True)))
        if not listed:
            raise BadData.at(files[self.table.name], "only a header; expected a row for each image")
        return listed

    def _held(self, spark: SparkSession, files: Mapping[str, Path]) -> tuple[DataFrame, tuple[str, ...] | None]:
        """Rows with the bytes of the images of Parquet files, with ids of file and row index; the classes."""
        held = self.parquet
        if held is None:
            raise ValueError("no parquet")
        frame = reduce(DataFrame.unionByName, (_parquet(spark, held, one, files[one.name]) for one in held.files))
        if held.label is None:
            return frame, None
        frame = frame.withColumn("label", normal(F.col("label")))
        labels = frame.select("label").distinct().where("label IS NOT NULL").collect()
        return frame.withColumn("_reason", F.expr("IF(label IS NULL, 'has no label', NULL)")), _in_order(
            row[0] for row in labels
        )

    def _row(
        self, one: Mapping[str, Any], classes: tuple[str, ...] | None, opened: Callable[[str], bytes]
    ) -> dict[str, Any]:
        row: dict[str, Any] = {"sample_id": one["sample_id"], "split": one["split"], "_reason": one["_reason"]}
        row |= {"image": b"", "mask": b"", "label": -1, **dict.fromkeys(SIZES, 0)}
        if row["_reason"]:
            return row
        try:
            content = bytes(one["content"] or b"") if "content" in one else opened(one["path"])
            row["image"] = self.frame.pixels(content).tobytes()
            if self.resize == "keep":
                row |= zip(SIZES, size_of(content), strict=True)
            if self.table and self.table.mask:
                row["mask"] = self._mask(one["mask"], content, opened).tobytes()
        except ValueError as error:
            row["_reason"] = str(error)
        if classes:
            row["label"] = classes.index(one["label"])
        return row

    def _mask(self, path: str | None, image: bytes, opened: Callable[[str], bytes]) -> np.ndarray[Any, Any]:
        try:
            content = opened(path or "")
        except ValueError as error:
            raise ValueError(f"mask: {error}") from error
        numbers = self.frame.mask(content, image)
        return (numbers > 0).astype(np.uint8) if self.instances == "semantic" else numbers.astype("<i4")


def _of_folder(
    spark: SparkSession, folder: str, files: Mapping[str, Path], stored: Sequence[StoredFile]
) -> list[dict[str, str | None]]:
    rows: list[dict[str, str | None]] = []
    if stored:
        by_name = {file.name: file for file in stored}
        found = image_folder.sort(folder, by_name, "class", "images", partial(stored_images.are_images, spark))
        named, aside = {name: stored_images.reference(file) for name, file in found.images.items()}, found.aside
    else:
        here = image_folder.sort(folder, files, "class", "images", image_folder.on_this_machine)
        named, aside = {name: str(path) for name, path in here.images.items()}, here.aside
    for name, path in named.items():
        rows.append({"sample_id": name, "label": normal_form(name.partition("/")[0]), "path": path})
    for name, why in aside.items():
        rows.append({"sample_id": name, "_reason": why})
    return rows


def _in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """The distinct classes, sorted by name; integers by value."""
    distinct = set(labels)
    numbers = all(one.isdecimal() for one in distinct)
    return tuple(sorted(distinct, key=lambda one: (int(one) if numbers else 0, one)))


def _filled(pattern: str, row: Mapping[str, str]) -> str:
    return re.sub(r"\{([^{}]+)\}", lambda match: row[match[1]], pattern)


def _csv_rows(path: Path, table: Listed) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            rows, names = list(reader), reader.fieldnames or []
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadData.at(path, f"cannot be read as CSV in UTF-8 ({error}); save it so") from None
    wanted = [*re.findall(r"\{([^{}]+)\}", f"{table.image}{table.mask}"), table.label, table.split]
    missing = [name for name in wanted if name is not None and name not in names]
    if missing:
        raise BadData.at(f"{path}:1", f"no columns {missing}; the header names {list(names)}")
    return rows


def _parquet(spark: SparkSession, held: Held, file: SplitFile, path: Path) -> DataFrame:
    frame = parquet_schema.read(spark, path)
    missing = [name for name in (held.image, held.label) if name is not None and name not in frame.columns]
    if missing:
        raise BadData.at(path, f"no columns {missing}; it has {frame.columns}")
    content = named(held.image)
    if isinstance(frame.schema[held.image].dataType, StructType):
        content = content["bytes"]
    return frame.select(
        F.format_string("%s:%06d", F.lit(called(file, held.files)), F.col("_metadata.row_index")).alias("sample_id"),
        F.lit(file.split).cast("string").alias("split"),
        (named(held.label) if held.label else F.lit(None)).cast("string").alias("label"),
        content.cast("binary").alias("content"),
        F.lit(None).cast("string").alias("_reason"),
    )

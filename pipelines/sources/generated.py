"""Synthetic data: each row depends on (seed, kind, row) alone, so the number of workers does not matter.

    source: {name: generated, kind: sinc, rows: 2000, noise: 0.1}
    source: {name: generated, kind: adding, rows: 10000, steps: 100}
    source: {name: generated, kind: digits, rows: 1000, steps: 20}

Axes: T steps, C numbers of a step (frames: colours), H rows of pixels, W columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from numpy.random import PCG64, Generator
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator
from pyspark.sql import SparkSession

from millstream.pipelines.sources.mnist import SIDE, Mnist, read_idx
from millstream.pipelines.spark.frames import schema_of
from millstream.pipelines.table import OriginFile, Table
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from millstream.tracking.seeds import key

CANVAS = 64
ROWS_A_PARTITION = 5000
Row = dict[str, Any]


class Generated(BaseModel, frozen=True, extra="forbid"):
    """`sinc`: y = sin(x) / x for x in -10..10. `moons`: two half circles. `rings`: circles of radius 1, 2, ...

    `adding`: steps of (a number in 0..1, a mark); the target is the sum of the two marked numbers, one in each half.
    `digits`: Moving MNIST, two handwritten digits that move over 64x64 pixels and bounce off the sides.
    Sources: Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735, experiment 4; Srivastava et al. 2015,
    arXiv 1502.04681. Differs from the first: numbers in 0..1, the plain sum, sequences of equal length.
    """

    licence: ClassVar[str] = "none: made from a formula (digits: MNIST, cite LeCun et al. 1998)"
    origin: ClassVar[str] = "generated"

    kind: Literal["sinc", "moons", "rings", "adding", "digits"] = Field(description="what is generated")
    rows: int = Field(ge=1, le=100_000_000, description="number of rows")
    noise: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="standard deviation of Gaussian noise on y (sinc) or on each coordinate",
    )
    classes: int = Field(2, ge=2, le=100, description="number of rings")
    steps: int = Field(20, ge=2, le=10_000, description="T of adding and digits")
    images: Literal["train", "test"] = Field("train", description="MNIST split that the digits are taken from")

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        used = {"rings": {"noise", "classes"}, "adding": {"steps"}, "digits": {"steps", "images"}}.get(
            self.kind, {"noise"}
        )
        odd = sorted(self.model_fields_set - used - {"kind", "rows"})
        if odd and self.model_dump(include=set(odd)) != {name: type(self).model_fields[name].default for name in odd}:
            raise ValueError(
                f"{', '.join(odd)}: {self.kind} has no such thing; it takes rows, {', '.join(sorted(used))}"
            )
        return self

    @property
    def raw_bytes(self) -> int:
        return self.rows * {"adding": 8 * self.steps, "digits": CANVAS * CANVAS * self.steps}.get(self.kind, 24)

    def origin_files(self) -> tuple[OriginFile, ...]:
        if self.kind != "digits":
            return ()
        stem = "train" if self.images == "train" else "t10k"
        return tuple(file for file in Mnist().origin_files() if f"{stem}-images" in file.name)

    def read(self, spark: SparkSession, files: Mapping[str, Path], seed: int) -> Table:
        columns = self._columns()
        schema = schema_of(columns)
        made = self._maker(spark, files)
        kind = self.kind

        def filled(pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
            for piece in pieces:
                rows = [
                    {"sample_id": f"{kind}/{at:08d}", **made(Generator(PCG64(key(seed, kind, at))))} for at in piece.id
                ]
                yield pd.DataFrame(rows, columns=schema.names)

        partitions = max(1, -(-self.rows // ROWS_A_PARTITION))
        return Table(spark.range(self.rows, numPartitions=partitions).mapInPandas(filled, schema), columns)

    def _columns(self) -> tuple[Column, ...]:
        number: dict[str, Any] = {"dtype": "float64", "meaning": "number"}
        if self.kind == "sinc":
            return (Column(name="x", role="input", **number), Column(name="y", role="target", **number))
        if self.kind == "adding":
            shape = (self.steps, 2)
            series = Column(
                name="series", dtype="float32", layout="tensor", shape=shape, axes="TC", role="input", meaning="series"
            )
            return (series, Column(name="sum", role="target", **number))
        if self.kind == "digits":
            frames: dict[str, Any] = {"layout": "tensor", "shape": (self.steps, 1, CANVAS, CANVAS), "axes": "TCHW"}
            return (Column(name="frames", dtype="uint8", role="input", meaning="video", **frames),)
        names = tuple(str(at) for at in range(self.classes if self.kind == "rings" else 2))
        label = Column(name="label", dtype="int64", role="target", meaning="category", classes=names)
        return (Column(name="x", role="input", **number), Column(name="y", role="input", **number), label)

    def _maker(self, spark: SparkSession, files: Mapping[str, Path]) -> Callable[[Generator], Row]:
        """A function that returns a row from the row's random generator."""
        noise, steps, classes = self.noise, self.steps, self.classes
        if self.kind == "digits":
            images = read_idx(next(iter(files.values())))
            if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE):
                raise BadData.at(next(iter(files)), f"images of shape {images.shape}; expected (n, {SIDE}, {SIDE})")
            shared = spark.sparkContext.broadcast(images)
            return lambda generator: {"frames": flight(generator, shared.value, steps).tobytes()}
        if self.kind == "adding":
            return lambda generator: adding(generator, steps)
        if self.kind == "sinc":
            return lambda generator: sinc(generator, noise)
        if self.kind == "moons":
            return lambda generator: moons(generator, noise)
        return lambda generator: rings(generator, noise, classes)


def sinc(generator: Generator, noise: float) -> Row:
    x = generator.uniform(-10, 10)
    return {"x": x, "y": float(np.sinc(x / np.pi)) + noise * generator.standard_normal()}


def moons(generator: Generator, noise: float) -> Row:
    """A point of the upper half circle around (0, 0), class 0, or of the lower one around (1, 0.5), class 1."""
    label, angle = int(generator.integers(2)), generator.uniform(0, math.pi)
    x, y = math.cos(angle), math.sin(angle)
    if label:
        x, y = 1 - x, 0.5 - y
    return _blurred(generator, x, y, noise) | {"label": label}


def rings(generator: Generator, noise: float, classes: int) -> Row:
    """A point of the circle of radius 1 + its class around (0, 0)."""
    label, angle = int(generator.integers(classes)), generator.uniform(0, 2 * math.pi)
    return _blurred(generator, (1 + label) * math.cos(angle), (1 + label) * math.sin(angle), noise) | {"label": label}


def adding(generator: Generator, steps: int) -> Row:
    series_TC = np.zeros((steps, 2), "<f4")
    series_TC[:, 0] = generator.random(steps, np.float32)
    marked = [generator.integers(0, steps // 2), generator.integers(steps // 2, steps)]
    series_TC[marked, 1] = 1
    return {"series": series_TC.tobytes(), "sum": float(series_TC[marked, 0].astype(np.float64).sum())}


def flight(generator: Generator, images: NDArray[np.uint8], steps: int, digits: int = 2) -> NDArray[np.uint8]:
    """Frames (T, 1, 64, 64) of digits with random starts, moving 2 to 5 pixels a step; the brighter pixel wins."""
    frames_TCHW = np.zeros((steps, 1, CANVAS, CANVAS), np.uint8)
    room = CANVAS - SIDE
    for image in images[generator.integers(0, len(images), digits)]:
        start, angle, speed = generator.uniform(0, room, 2), generator.uniform(0, 2 * math.pi), generator.uniform(2, 5)
        way = np.arange(steps)[:, None] * speed * np.array([math.sin(angle), math.cos(angle)])
        # a bounce is a reflection: fold the straight path into the canvas
        folded = (start + way) % (2 * room)
        places = np.rint(np.where(folded > room, 2 * room - folded, folded)).astype(int)
        for frame, (top, left) in zip(frames_TCHW[:, 0], places, strict=True):
            field = frame[top : top + SIDE, left : left + SIDE]
            np.maximum(field, image, out=field)
    return frames_TCHW


def _blurred(generator: Generator, x: float, y: float, noise: float) -> Row:
    dx, dy = noise * generator.standard_normal(2)
    return {"x": x + dx, "y": y + dy}

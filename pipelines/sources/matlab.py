"""Piano rolls from MATLAB files: for each step of a piece of music, the keys that are played.

    source: {name: matlab, file: {name: polyphonic_music/JSB_Chorales.mat}}

Axes: T steps, K keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from pyspark.sql import SparkSession
from scipy.io import loadmat

from millstream.pipelines.readers.file_spec import NamedFile
from millstream.pipelines.spark.frames import from_pandas
from millstream.pipelines.table import OriginFile, Table
from millstream.tracking.dataset.manifest import SPLITS
from millstream.tracking.dataset.records import Affine, Column
from millstream.tracking.errors import BadData


class Matlab(BaseModel, frozen=True, extra="forbid"):
    """Pieces `<split>/<number>` of the cells `traindata`, `validdata` and `testdata`, each a matrix (T, K) of 0 and 1.

    All pieces are padded with zeros to the length of the longest; `steps` (a mask) is their length without padding. A
    piece of another width or with other numbers is quarantined.
    """

    file: NamedFile = Field(description="the .mat file")
    longest: int = Field(1000, ge=1, description="maximum number of steps; a longer piece is quarantined")
    licence: str = Field("not stated", description="licence of the data, kept in the manifest")
    origin: str = Field("not stated", description="where the data come from, kept in the manifest")

    def origin_files(self) -> tuple[OriginFile, ...]:
        return (self.file.origin,)

    def read(self, spark: SparkSession, files: Mapping[str, Path], seed: int) -> Table:
        """Raises BadData when the file cannot be read, or has no valid piece."""
        pieces = _pieces(files[self.file.name])
        width = next((piece.shape[1] for _, piece in pieces if piece.ndim == 2), 0)
        reasons = [self._reason(piece, width) for _, piece in pieces]
        kept = [(name, piece) for (name, piece), reason in zip(pieces, reasons, strict=True) if reason is None]
        if not kept:
            raise BadData.at(files[self.file.name], f"no piece of music in it; the first one {reasons[0]}")
        longest = max(len(piece) for _, piece in kept)
        rows = [_row(name, piece, longest) for name, piece in kept]
        roll = Column(
            name="roll",
            dtype="uint8",
            layout="tensor",
            shape=(longest, width),
            axes="TK",
            role="input",
            meaning="series",
            affine=Affine(),
        )
        table = from_pandas(
            spark, pd.DataFrame(rows), (roll, Column(name="steps", dtype="int64", role="mask", meaning="number"))
        )
        refused = [
            (name, reason, str(piece.shape))
            for (name, piece), reason in zip(pieces, reasons, strict=True)
            if reason is not None
        ]
        quarantined = spark.createDataFrame(refused, "sample_id string, reason string, content string")
        return Table(table.frame, table.columns, quarantined)

    def _reason(self, piece: NDArray[Any], width: int) -> str | None:
        if piece.ndim != 2 or piece.dtype.kind not in "biuf" or 0 in piece.shape:
            return "is no matrix of steps and keys"
        if piece.shape[1] != width:
            return "has another number of keys than the first piece"
        if len(piece) > self.longest:
            return f"is longer than {self.longest} steps"
        return None if np.isin(piece, (0, 1)).all() else "has numbers other than 0 and 1"


def _pieces(path: Path) -> list[tuple[str, NDArray[Any]]]:
    """The pieces of all splits by name. Only numeric arrays are read; MATLAB objects are not decoded."""
    try:
        content = loadmat(path, variable_names=[f"{split}data" for split in SPLITS])
    except Exception as error:  # damaged files raise many kinds of errors in the reader
        raise BadData.at(path, f"cannot be read as a MATLAB 5 file ({error}); save it with -v6 or -v7") from None
    cells = {split: content.get(f"{split}data") for split in SPLITS}
    odd = [f"{split}data" for split, cell in cells.items() if cell is None or cell.dtype != object]
    if odd:
        raise BadData.at(path, f"no cells {odd}; expected a cell of matrices for each split")
    return [
        (f"{split}/{at:04d}", np.asarray(piece))
        for split, cell in cells.items()
        for at, piece in enumerate(cell.ravel())
    ]


def _row(name: str, piece: NDArray[Any], longest: int) -> dict[str, Any]:
    roll_TK = np.zeros((longest, piece.shape[1]), np.uint8)
    roll_TK[: len(piece)] = piece
    return {"sample_id": name, "split": name.partition("/")[0], "roll": roll_TK.tobytes(), "steps": len(piece)}

"""Patches of one size cut from each image and its masks, one patch per row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field
from pyspark.sql.types import IntegerType, StringType, StructField, StructType

from millstream.pipelines.ops.image_columns import images_of
from millstream.pipelines.spark.frames import in_pandas, named
from millstream.pipelines.table import Learned, Place, Table
from millstream.tracking.dataset.records import Column, Served
from millstream.tracking.errors import BadData

PLACES = ("patch_top", "patch_left")


class Patch(BaseModel, frozen=True, extra="forbid"):
    """Patches start at 0, stride, 2 * stride ..., and a last one ends at the far edge, so that they cover every pixel.

    | sample_id | image (1, 4, 5) | -> | sample_id | image (1, 4, 4) | picture | patch_top | patch_left |
    | 7         | ...             |    | 7@0,0     | ...             | 7       |         0 |          0 |
    |           |                 |    | 7@0,1     | ...             | 7       |         0 |          1 |

    Patches of an image belong together: split before this step, or by the key `picture`. A served model takes patches.
    """

    version: ClassVar[int] = 1
    place: ClassVar[Place] = "any"
    served: ClassVar[Served] = "brought"
    train_only: ClassVar[bool] = False

    size: int = Field(ge=1, le=4096, description="side of a patch in pixels")
    stride: int | None = Field(None, ge=1, description="pixels between the starts of patches; default: the size")
    columns: tuple[str, ...] | None = Field(None, description="images to cut; default: all images")
    masks: tuple[str, ...] = Field((), description="masks of the same height and width, cut in the same way")
    key: str = Field("picture", description="name of the new column with the sample_id of the whole image")

    def fit(self, train: Table, seed: int) -> Learned:
        return {}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        """Raises BadData for a column that is no image, is smaller than a patch, or differs in height or width."""
        columns = images_of(table, self.columns, self.masks, "step patch")
        sizes = {column.name: column.shape[1:] for column in columns}
        height, width = next(iter(sizes.values()))
        if len(set(sizes.values())) > 1 or min(height, width) < self.size:
            raise BadData.at("step patch", f"height and width are {sizes}; expected equal ones of {self.size} or more")
        places = [(top, left) for top in self._starts(height) for left in self._starts(width)]
        table.check_new("step patch", self.key, *PLACES)
        added = [(self.key, StringType()), *((name, IntegerType()) for name in PLACES)]
        schema = StructType([*table.frame.schema.fields, *(StructField(*field) for field in added)])
        size, key = self.size, self.key

        def cut(pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
            for piece in pieces:
                for top, left in places:
                    yield _cut(piece, columns, top, left, size, key)

        made = [column.model_copy(update={"shape": (column.shape[0], size, size)}) for column in columns]
        made.append(Column(name=key, dtype="string", role="key", meaning="text"))
        made += [Column(name=name, dtype="int32", role="key", meaning="number", unit="pixels") for name in PLACES]
        return table.replacing(in_pandas(table.frame, cut, schema).select(*map(named, schema.names)), *made)

    def _starts(self, length: int) -> list[int]:
        last = length - self.size
        return sorted({*range(0, last + 1, self.stride or self.size), last})


def _cut(rows: pd.DataFrame, columns: list[Column], top: int, left: int, size: int, key: str) -> pd.DataFrame:
    made: dict[str, object] = {}
    for column in columns:
        dtype = np.dtype(column.dtype).newbyteorder("<")
        images = (np.frombuffer(content, dtype).reshape(column.shape) for content in rows[column.name])
        made[column.name] = [one[:, top : top + size, left : left + size].tobytes() for one in images]
    ids = rows["sample_id"] + f"@{top},{left}"
    return rows.assign(**made, **{key: rows["sample_id"], PLACES[0]: top, PLACES[1]: left, "sample_id": ids})

"""Mixup: new rows that interpolate the inputs and targets of two train rows of any class.

Source: Zhang et al. 2018, arXiv 1710.09412, mixup: Beyond Empirical Risk Minimization.
Differs from it: mixed rows are made once and stored together with the original ones; with `where: feed` rows are mixed
again in every epoch, as there. Axes: B rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from pyspark.sql import Window
from pyspark.sql import functions as F

from millstream.pipelines.ops.lineage import earlier, free_name
from millstream.pipelines.spark.frames import draw, in_pandas, named
from millstream.pipelines.table import Learned, Place, Table
from millstream.tracking.augmentations.mix import between, is_mixable
from millstream.tracking.augmentations.op import generator_of, in_place_of
from millstream.tracking.dataset.records import Column, Served
from millstream.tracking.errors import BadData
from millstream.tracking.seeds import key

ROWS_A_BUCKET = 10_000
_COPY, _BUCKET, _HASH, _PARTNER = "_copy", "_bucket", "_hash", "_partner"


class Mixup(BaseModel, frozen=True, extra="forbid"):
    """Mixes each train row with `copies` others, each the next row of a random order.

    | sample_id | wind | label  | -> | sample_id | parent_id | wind | label    | op                                    |
    | 7         |  2.0 | (1, 0) |    | 7         |           |  2.0 | (1, 0)   |                                       |
    | 8         |  4.0 | (0, 1) |    | 8         |           |  4.0 | (0, 1)   |                                       |
    |           |      |        |    | 7+mixup-1 | 7         |  2.2 | (.9, .1) | {"partner": "8", "share": 0.9, ...}   |

    Classes are mixed as probabilities: `encode` targets and input categories with `method: onehot` first.

    With `where: feed` no row is added: training mixes each train sample again in every epoch.
    """

    version: ClassVar[int] = 1
    place: ClassVar[Place] = "after split"
    served: ClassVar[Served] = "same"
    train_only: ClassVar[bool] = True

    copies: int = Field(1, ge=1, le=100, description="new rows for each row; ignored with `where: feed`")
    alpha: float = Field(
        0.2, gt=0, le=100, description="parameter of Beta(alpha, alpha), the distribution of the mixing weight"
    )
    where: Literal["spark", "feed"] = Field(
        "spark", description="add rows to the dataset, or mix on the fly in training"
    )

    @property
    def resamples(self) -> bool:
        return self.where == "spark"

    def fit(self, train: Table, seed: int) -> Learned:
        """The columns to mix. Raises BadData for one that cannot be interpolated, and for a single row."""
        mixed = [column for column in train.columns if column.role in ("input", "target", "weight")]
        odd = [column.name for column in mixed if not is_mixable(column)]
        if odd:
            raise BadData.at(
                "step mixup", f"{odd}: nothing is between two of them; encode them with method: onehot first"
            )
        rows = train.frame.count()
        if rows < 2:
            raise BadData.at("step mixup", f"{rows} train rows; two are mixed")
        return {"columns": [column.name for column in mixed], "rows": rows}

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        if self.where == "feed":
            return table
        name = free_name(table.frame, "mixup")
        columns = [column for column in table.columns if column.name in learned["columns"]]
        copies = table.frame.withColumn(_COPY, F.explode(F.sequence(F.lit(1), F.lit(self.copies))))
        # a random order of the rows, in buckets that fit a worker; each is mixed with the next, the last with the first
        hashed = copies.withColumn(_HASH, F.expr(draw(seed, name, "sample_id", _COPY)))
        pieces = hashed.withColumn(_BUCKET, F.expr(f"pmod(_hash, {1 + learned['rows'] // ROWS_A_BUCKET})"))
        order = Window.partitionBy(_COPY, _BUCKET).orderBy(_HASH, "sample_id")
        names = ["sample_id", *(column.name for column in columns)]
        one = F.struct(*(named(held).alias(f"c{at}") for at, held in enumerate(names)))
        first = F.first(one).over(order.rowsBetween(Window.unboundedPreceding, Window.currentRow))
        paired = pieces.withColumn(_PARTNER, F.coalesce(F.lead(one).over(order), first))
        # no struct leaves Spark: its two release lines pass it to Python differently
        paired = paired.withColumns({_of_partner(held): F.col(f"{_PARTNER}.c{at}") for at, held in enumerate(names)})
        schema, alpha = table.frame.schema, self.alpha

        def made(pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
            for piece in pieces:
                yield mixed(piece, columns, name, seed, alpha)[schema.names]

        return table.replacing(table.frame.unionByName(in_pandas(paired.drop(_PARTNER), made, schema)))


def mixed(rows: pd.DataFrame, columns: list[Column], name: str, seed: int, alpha: float) -> pd.DataFrame:
    """share * row + (1 - share) * partner in each of `columns`; other columns are copied from the row."""
    keys = list(zip(rows["sample_id"], rows[_COPY], strict=True))
    share_B = np.array([generator_of(key(seed, name, *one)).beta(alpha, alpha) for one in keys])
    new = rows.assign(**{column.name: _between(rows, column, share_B) for column in columns})
    mixed = zip(keys, rows[_of_partner("sample_id")], share_B.tolist(), rows["op"], strict=True)
    drawn = {"op": name, "seed": seed, "alpha": alpha}
    new["op"] = [
        json.dumps({**drawn, "copy": int(copy), "partner": partner, "share": share, **earlier(op)})
        for (_, copy), partner, share, op in mixed
    ]
    new["parent_id"] = rows["parent_id"].where(rows["parent_id"].notna(), rows["sample_id"])
    new["sample_id"] = [f"{sample_id}+{name}-{copy}" for sample_id, copy in keys]
    return new


def _between(rows: pd.DataFrame, column: Column, share_B: NDArray[np.float64]) -> Any:
    """The column's values in new rows, in its dtype; missing where either of the two is."""
    own, other, dtype = rows[column.name], rows[_of_partner(column.name)], np.dtype(column.dtype).newbyteorder("<")
    if column.layout == "scalar":
        own_B, other_B = (side.to_numpy(np.float64, na_value=np.nan) for side in (own, other))
        value_B = share_B * own_B + (1 - share_B) * other_B
        if np.issubdtype(dtype, np.integer):  # equal integers stay exact, however large
            value_B = np.where(own_B == other_B, own_B, value_B)
        return in_place_of(own, own_B, value_B, dtype)
    own_BD, other_BD = (np.frombuffer(b"".join(side), dtype).reshape(len(rows), -1) for side in (own, other))
    return [row.tobytes() for row in between(own_BD, other_BD, share_B)]


def _of_partner(column: str) -> str:
    return f"{_PARTNER} {column}"

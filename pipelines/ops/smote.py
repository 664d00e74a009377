"""SMOTE oversampling: interpolates between a row and one of its nearest neighbours of the same class.

Source: Chawla et al. 2002, doi:10.1613/jair.953, SMOTE and, for columns that are categories, SMOTE-NC (section 6.1).
Differs from it: in a class of more rows than `block`, neighbours are searched within a block of rows chosen by hash,
so that no class has to fit a single worker. Axes: B rows, D numbers, C categories, K neighbours.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StringType, StructField, StructType
from sklearn.neighbors import NearestNeighbors

from millstream.pipelines.ops.copy_rows import COPIES
from millstream.pipelines.ops.lineage import earlier
from millstream.pipelines.spark.frames import draw, groups_in_pandas, in_pandas, named
from millstream.pipelines.table import Table
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from millstream.tracking.seeds import key

_NEAR = "_near"
_BLOCK, _LABEL = "_block", "_label"
ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class Options:
    neighbours: int
    block: int
    seed: int
    name: str
    """Part of the new rows' sample_id and op, and of the key of the random draws."""


@dataclass(frozen=True)
class Mixed:
    """The columns of the distance, which are interpolated in new rows."""

    numbers: tuple[Column, ...]
    categories: tuple[Column, ...]


def mixed(table: Table, names: tuple[str, ...] | None) -> Mixed:
    """The input columns, or the columns of the given names.

    Raises BadData for an unknown name, and for tensors and lists, which cannot be interpolated.
    """
    known = [column.name for column in table.columns]
    missing = [name for name in names or () if name not in known]
    if missing:
        raise BadData.at("step rebalance", f"columns: {missing}: no such columns to mix; it has {known}")
    chosen = [c for c in table.columns if (c.role == "input" if names is None else c.name in names)]
    odd = [
        column.name for column in chosen if column.layout != "scalar" or column.meaning not in ("number", "category")
    ]
    if odd or not any(column.meaning == "number" for column in chosen):
        message = (
            f"smote mixes numbers and categories; {odd or [c.name for c in chosen]} are others: use method augment"
        )
        raise BadData.at("step rebalance", message)
    return Mixed(
        tuple(column for column in chosen if column.meaning == "number"),
        tuple(column for column in chosen if column.meaning == "category"),
    )


def between(table: Table, columns: Mixed, options: Options, label: SparkColumn, before: Mapping[str, int]) -> DataFrame:
    """The new rows, `_copies` for each row; all rows of its class are candidate neighbours.

    `label` is a row's class, `before` the row count of each class. Raises BadData for missing numbers.
    """
    _check_whole(table, columns)
    fields = table.frame.schema.fields
    near = StructType([*fields, StructField(_NEAR, ArrayType(StringType()))])
    blocks = [F.lit(one) for label, count in before.items() for one in (label, -(-count // options.block))]
    block = F.pmod(
        F.expr(draw(options.seed, f"{options.name} block", "sample_id")), F.element_at(F.create_map(*blocks), label)
    )
    blocked = table.frame.withColumn(_BLOCK, block).withColumn(_LABEL, label)

    def neighbours(rows: pd.DataFrame) -> pd.DataFrame:
        return with_neighbours(rows.drop(columns=[_BLOCK, _LABEL]), columns, options.neighbours)

    schema = StructType([field for field in fields if field.name != COPIES])

    def made(pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for piece in pieces:
            for at in range(0, len(piece), ROWS_AT_ONCE):
                yield mix(piece.iloc[at : at + ROWS_AT_ONCE], columns, options.seed, options.name)[schema.names]

    neighbouring = groups_in_pandas(blocked, (_LABEL, _BLOCK), sum(before.values()), neighbours, near).where(
        F.col(COPIES) > 0
    )
    spread = table.frame.sparkSession.sparkContext.defaultParallelism * 2
    return in_pandas(neighbouring.repartition(spread), made, schema)


def with_neighbours(rows: pd.DataFrame, columns: Mixed, count: int) -> pd.DataFrame:
    """The rows sorted by id, each with the values of its `count` nearest neighbours in `_near`.

    Distance is Euclidean; a differing category counts as the median of the numbers' standard deviations (SMOTE-NC).
    """
    rows = rows.sort_values("sample_id", ignore_index=True)
    numbers_BD = rows[[c.name for c in columns.numbers]].to_numpy(np.float64)
    categories_BC = rows[[c.name for c in columns.categories]].astype(str).to_numpy()
    space = [numbers_BD]
    if columns.categories:
        median = float(np.median(numbers_BD.std(axis=0, ddof=0)))
        space += [_indicators(categories_BC[:, at]) * (median / np.sqrt(2)) for at in range(categories_BC.shape[1])]
    count = min(count, len(rows) - 1)
    near_BK = np.zeros((len(rows), 1), np.int64)  # a single row is its own neighbour
    if count:
        near_BK = (
            NearestNeighbors(n_neighbors=count).fit(np.concatenate(space, axis=1)).kneighbors(return_distance=False)
        )
    names = [c.name for c in (*columns.numbers, *columns.categories)]
    values = rows[["sample_id", *names]].astype(object)
    encoded = [json.dumps(one, default=str) for one in values.where(values.notna(), None).to_dict("records")]
    return rows.assign(**{_NEAR: [[encoded[at] for at in one] for one in near_BK]})


def mix(rows: pd.DataFrame, columns: Mixed, seed: int, name: str) -> pd.DataFrame:
    """The new rows x + u (neighbour - x), with a random neighbour and u in [0, 1); categories by majority vote."""
    copies = rows[COPIES].to_numpy(np.int64)
    near = [[json.loads(one) for one in encoded] for encoded in rows[_NEAR]]
    draws = [_draws(seed, name, sample_id, count) for sample_id, count in zip(rows["sample_id"], copies, strict=True)]
    chosen = [one[(drawn[:, 0] * len(one)).astype(int)] for one, drawn in zip(map(np.array, near), draws, strict=True)]
    others = list(itertools.chain.from_iterable(chosen))
    u = np.concatenate([drawn[:, 1] for drawn in draws])
    new = rows.loc[rows.index.repeat(copies)].reset_index(drop=True)
    for column in columns.numbers:
        near_values = np.array([other[column.name] for other in others])
        new[column.name] = _between(new[column.name].to_numpy(), near_values, u, np.dtype(column.dtype))
    for column in columns.categories:
        new[column.name] = np.repeat(
            np.array([majority([o[column.name] for o in one]) for one in near], object), copies
        )
    j = np.concatenate([np.arange(1, count + 1) for count in copies])
    drawn = zip(j.tolist(), (other["sample_id"] for other in others), u.tolist(), new["op"], strict=True)
    new["op"] = [
        json.dumps({"op": name, "copy": at, "seed": seed, "neighbour": other, "u": by, **earlier(before)})
        for at, other, by, before in drawn
    ]
    new["parent_id"] = new["parent_id"].where(new["parent_id"].notna(), new["sample_id"])
    new["sample_id"] = [f"{parent}+{name}-{at}" for parent, at in zip(new["sample_id"], j, strict=True)]
    return new


def _between(own: NDArray[Any], other: NDArray[Any], u: NDArray[np.float64], dtype: np.dtype[Any]) -> Any:
    """own + u (other - own); equal integers stay exact, however large."""
    if not np.issubdtype(dtype, np.integer):
        return own.astype(np.float64) + u * (other.astype(np.float64) - own.astype(np.float64))
    # as Python integers: a difference may need more than 64 bits
    whole = zip(own.tolist(), other.tolist(), u.tolist(), strict=True)
    return np.array([one + round(by * (another - one)) for one, another, by in whole], dtype)


def _draws(seed: int, name: str, sample_id: str, copies: int) -> NDArray[np.float64]:
    """For each copy a number in [0, 1) that selects the neighbour, and u."""
    drawn: NDArray[np.float64] = np.random.Generator(np.random.PCG64(key(seed, name, sample_id))).random((copies, 2))
    return drawn


def _check_whole(table: Table, columns: Mixed) -> None:
    holes = [
        F.count_if(named(c.name).isNull() | F.isnan(named(c.name))).alias(str(at))
        for at, c in enumerate(columns.numbers)
    ]
    holes_in = table.frame.agg(*holes).head()
    missing = [column.name for at, column in enumerate(columns.numbers) if holes_in and holes_in[at]]
    if missing:
        raise BadData.at("step rebalance", f"smote needs numbers, and {missing} miss some; impute or validate first")


def majority(values: list[object]) -> object:
    """The most frequent value; of ties the first in sort order."""
    return max(sorted(set(values), key=str), key=values.count)


def _indicators(values: NDArray[np.str_]) -> NDArray[np.float64]:
    indicators: NDArray[np.float64] = (values[:, None] == np.unique(values)[None]).astype(np.float64)
    return indicators

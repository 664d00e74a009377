"""Recorded transitions for reinforcement learning, from CSV, Parquet or NPZ with a row for each step of an episode.

    source: {name: transitions, files: [{name: cartpole.npz}]}

    source:
      name: transitions
      files: [{name: cartpole.csv}]
      observation: [position, speed, angle, turn]

Axes: n rows, O numbers of an observation, A numbers of an action.
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from pyspark.sql import SparkSession

from millstream.pipelines.readers.file_spec import NamedFile, called
from millstream.pipelines.spark.frames import from_pandas
from millstream.pipelines.table import OriginFile, Table
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData

_MARKS = {False: False, True: True, "false": False, "true": True}
"""Values that mark the end of an episode; 0 and 1 equal False and True."""


class RecordedFile(NamedFile, frozen=True, extra="forbid"):
    name: str = Field(
        pattern=r"\.(csv|parquet|npz)$",
        description="`<dataset>/<file>` in the mirror, or a path: .csv, .parquet, .npz",
    )


class Transitions(BaseModel, frozen=True, extra="forbid"):
    """Rows `<file>/<episode>/<step>`: observation, action, reward, next_observation and done (terminated: 1).

    The next observation is that of the next step. A terminal step has none, and repeats its own; the last step of a
    truncated episode is quarantined. Integer actions are classes.
    """

    version: ClassVar[int] = 2

    files: tuple[RecordedFile, ...] = Field(min_length=1, description="files of the transitions")
    episode: str = Field("episode", description="column with the episode of a step")
    step: str = Field("step", description="column with the number of a step in its episode")
    observation: str | tuple[str, ...] = Field(
        "observation", description="a column of lists (NPZ: an array (n, O)), or several numeric columns"
    )
    action: str | tuple[str, ...] = Field("action", description="a column, or several numeric columns")
    reward: str = Field("reward", description="column with the reward")
    terminated: str = Field("terminated", description="column: true or 1 where the episode terminated")
    truncated: str = Field("truncated", description="column: true or 1 where the episode was truncated")
    licence: str = Field("not stated", description="licence of the data, kept in the manifest")
    origin: str = Field("one's own files", description="where the data come from, kept in the manifest")

    def origin_files(self) -> tuple[OriginFile, ...]:
        return tuple(file.origin for file in self.files)

    def read(self, spark: SparkSession, files: Mapping[str, Path], seed: int) -> Table:
        """Raises BadData for a file that cannot be read or lacks columns, and when no valid step is left."""
        rows = pd.concat([self._file(file, files[file.name]) for file in self.files], ignore_index=True)
        rows = _judged(rows.sort_values(["sample_id", "step"], kind="stable", ignore_index=True))
        kept = rows[rows.reason.isna()]
        if kept.empty:
            message = f"no whole step of {len(rows)}; the first one {rows.reason[0]}" if len(rows) else "no rows"
            raise BadData.at(", ".join(file.name for file in self.files), message)
        columns = _columns(kept)
        table = from_pandas(spark, _stored(kept, columns), columns)
        refused = rows[rows.reason.notna()]
        content = [(one.sample_id, one.reason, f"reward {one.reward}") for one in refused.itertuples()]
        quarantined = spark.createDataFrame(content, "sample_id string, reason string, content string")
        return Table(table.frame, table.columns, quarantined)

    def _file(self, file: RecordedFile, path: Path) -> pd.DataFrame:
        """The rows of a file, with observation and action as vectors."""
        columns = _arrays(path)
        names = [self.episode, self.step, self.reward, self.terminated, self.truncated]
        wanted = [*names, *_listed(self.observation), *_listed(self.action)]
        missing = [name for name in wanted if name not in columns]
        if missing:
            raise BadData.at(path, f"no columns {missing}; it has {sorted(columns)}")
        lengths = {len(columns[name]) for name in wanted}
        if len(lengths) > 1:
            raise BadData.at(path, f"columns of different lengths {sorted(lengths)}; each step needs all values")
        for name in (self.episode, self.step, self.terminated, self.truncated):
            if lost := int(pd.isna(columns[name]).sum()):
                raise BadData.at(path, f"{name}: {lost} values are missing; each step needs its place in an episode")
        file_name = called(file, self.files, "stem")
        try:
            step = columns[self.step].astype(np.int64)
            frame = pd.DataFrame(
                {
                    "episode": [f"{file_name}/{episode}" for episode in columns[self.episode]],
                    "step": step,
                    "observation": _vectors(columns, self.observation),
                    "action": _vectors(columns, self.action),
                    "reward": columns[self.reward].astype(np.float64),
                    "terminated": _marks(columns[self.terminated], path, self.terminated),
                    "truncated": _marks(columns[self.truncated], path, self.truncated),
                }
            )
        except (ValueError, TypeError) as error:
            raise BadData.at(path, f"a value is of another type ({error}); expected numbers") from None
        frame["sample_id"] = [f"{name}/{at:08d}" for name, at in zip(frame.episode, frame.step, strict=True)]
        return frame


_DAMAGED = (
    OSError,
    ValueError,
    LookupError,
    EOFError,
    NotImplementedError,
    zlib.error,
    zipfile.BadZipFile,
    tokenize.TokenError,  # numpy reads a header that is no literal as one of Python 2
)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, float_precision="round_trip")
    except _DAMAGED as error:
        raise BadData.at(path, f"cannot be read as {path.suffix} ({error}); objects are not unpickled") from None
    return {str(name): frame[name].to_numpy() for name in frame.columns}


def _marks(values: NDArray[Any], path: Path, name: str) -> NDArray[np.bool_]:
    marks = [_MARKS.get(one.lower() if isinstance(one, str) else one) for one in values.tolist()]
    if None in marks:
        odd = values.tolist()[marks.index(None)]
        raise BadData.at(path, f"{name}: {odd!r} is no mark of an end; expected true or false, or 1 or 0")
    return np.array(marks, dtype=bool)


def _listed(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def _vectors(columns: Mapping[str, NDArray[Any]], names: str | tuple[str, ...]) -> list[NDArray[Any]]:
    if isinstance(names, str):
        return [np.atleast_1d(np.asarray(one)) for one in columns[names]]
    return list(np.stack([columns[name] for name in names], axis=1))


def _judged(rows: pd.DataFrame) -> pd.DataFrame:
    """Adds next_observation, and reason, which is missing for a valid row. Rows are sorted by step."""
    same = (rows.episode == rows.episode.shift(-1)) & (rows.step + 1 == rows.step.shift(-1))
    follower = rows.observation.shift(-1).where(same & ~rows.terminated, rows.observation)
    widths = [
        {name: len(one) for name, one in zip(("observation", "action"), pair, strict=True)}
        for pair in zip(rows.observation, rows.action, strict=True)
    ]
    reasons = {
        "its step comes twice": rows.sample_id.duplicated(),
        "its numbers are not finite": ~_finite(rows),
        "has other numbers than the first step": pd.Series([one != widths[0] for one in widths], dtype=bool),
        "its next observation is not known": ~same & ~rows.terminated,
        "its next step has other numbers": pd.Series(
            [len(one) != len(two) for one, two in zip(rows.observation, follower, strict=True)], dtype=bool
        ),
    }
    reason = pd.Series([None] * len(rows), dtype=object)
    for message, wrong in reversed(reasons.items()):
        reason[wrong.to_numpy(dtype=bool)] = message
    # the step before one that is not finite has no valid next observation
    broken = pd.Series([not np.isfinite(np.asarray(one, dtype=np.float64)).all() for one in follower], dtype=bool)
    reason[(broken & reason.isna()).to_numpy()] = "its next observation is not known"
    return rows.assign(next_observation=follower, reason=reason)


def _finite(rows: pd.DataFrame) -> pd.Series[bool]:
    vectors = [np.concatenate([one, two]) for one, two in zip(rows.observation, rows.action, strict=True)]
    return pd.Series([bool(np.isfinite(one.astype(np.float64)).all()) for one in vectors]) & np.isfinite(rows.reward)


def _columns(rows: pd.DataFrame) -> tuple[Column, ...]:
    """The columns: the observation is the only input of a policy; the rest are targets and keys."""
    vector: dict[str, Any] = {"dtype": "float32", "layout": "tensor", "meaning": "vector"}
    shape, actions = (len(rows.observation.iloc[0]),), np.stack(rows.action.to_list())
    if actions.shape[1] == 1 and np.issubdtype(actions.dtype, np.integer) and actions.min() >= 0:
        classes = tuple(str(at) for at in range(int(actions.max()) + 1))
        action = Column(name="action", dtype="int64", role="target", meaning="category", classes=classes)
    else:
        action = Column(name="action", shape=actions.shape[1:], axes="A", role="target", **vector)
    return (
        Column(name="observation", shape=shape, axes="O", role="input", **vector),
        action,
        Column(name="reward", dtype="float64", role="target", meaning="number"),
        Column(name="next_observation", shape=shape, axes="O", role="target", **vector),
        Column(name="done", dtype="uint8", role="target", meaning="number"),
        Column(name="episode", dtype="string", role="key", meaning="text"),
        Column(name="step", dtype="int64", role="key", meaning="number"),
    )


def _stored(rows: pd.DataFrame, columns: tuple[Column, ...]) -> pd.DataFrame:
    stored = rows.assign(done=rows.terminated.astype(np.uint8))
    for column in columns:
        if column.layout == "tensor":
            stored[column.name] = [np.asarray(one, "<f4").tobytes() for one in stored[column.name]]
        elif column.name == "action":
            stored["action"] = [int(one[0]) for one in stored.action]
    return stored

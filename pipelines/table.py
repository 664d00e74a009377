"""What flows through a preparation, and the two things that make it flow: sources and steps.

A source is a frozen pydantic model in `pipelines/sources/<name>.py`, a step one in `pipelines/steps/<name>.py`; the
class is called after its file (`steps/scale.py` holds `Scale`). Its fields are the fields of the recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.tracking.dataset.records import Column, Computed, Served
from millstream.tracking.errors import BadData, Fault

Place = Literal["before split", "after split", "any"]
Roles = Mapping[str, str]
"""The role of each column that is known, by its name."""
Telling = Mapping[str, "Tells"]
"""The columns that steps before have computed from the target, by their names, whatever their roles are."""
Reached = Mapping[str, "Reach"]
"""The columns that steps before have computed from other rows than a row's own, by their names in lower case."""
Rows = dict[str | None, int]
"""The rows of each split; None stands for no split yet."""
Learned = dict[str, Any]
"""What a step fitted on the train split: plain JSON values, kept in the manifest as they are."""


@dataclass(frozen=True)
class Tells:
    """How a column came to tell the target."""

    step: str
    """The step that computed it."""
    is_delayed: bool
    """Whether it tells that of earlier rows alone."""


@dataclass(frozen=True)
class Reach:
    """Which rows beside a row's own a column was computed from, rows before it left out."""

    role: str
    """That of the column."""
    looks_ahead: bool
    """Whether rows after its own were read."""
    groups: tuple[frozenset[str], ...]
    """Of groups that were read from end to end, what each is grouped by: columns in lower case."""


@dataclass(frozen=True)
class Doubt:
    """What would be wrong, if any row fulfilled a condition."""

    where: str
    condition: SparkColumn
    message: str
    """With {rows} for how many do."""


@dataclass(frozen=True)
class Table:
    """Rows with their columns' meaning.

    `frame` has the columns of `columns` and the lineage: sample_id (string, unique, the same in every run), parent_id
    and op (strings, null for original rows), and `split` (train, valid or test; null until a step or source sets it).
    `refused` has the rows that were not taken: sample_id, reason (short, counted), content (the row as text).
    `doubts` are looked at when the rows are counted, so that a step needs no pass over them of its own; `rows` is how
    many there were the last time.
    """

    frame: DataFrame
    columns: tuple[Column, ...]
    refused: DataFrame | None = None
    doubts: tuple[Doubt, ...] = ()
    rows: int = 0
    held: DataFrame | None = None
    """What a source keeps in memory, where `frame` is no more than a selection from it."""
    resolved: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the source as they turned out, where its recipe leaves them open: columns that are inferred."""

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    def check_new(self, where: str, *names: str) -> None:
        """Raises BadData where a step would write over a column: Spark does not tell `x` from `X`."""
        there = {name.lower(): name for name in self.frame.columns}
        BadData.unless_empty(
            Fault(where=where, message=f"there is a column {there[name.lower()]!r} already; give another name")
            for name in names
            if name.lower() in there
        )

    @property
    def classes(self) -> tuple[Column, ...]:
        """The target columns whose values are classes."""
        return tuple(column for column in self.columns if column.role == "target" and column.meaning == "category")

    def replacing(self, frame: DataFrame, *columns: Column) -> Table:
        """This table with another frame, and with `columns` in the place of those of the same name (or added)."""
        new = {column.name: column for column in columns}
        kept = tuple(new.pop(column.name, column) for column in self.columns)
        return replace(self, frame=frame, columns=(*kept, *new.values()))

    def keeping(self, condition: SparkColumn) -> Table:
        """This table with the rows that fulfil a condition, and those that a doubt is about: they have to be told."""
        for doubt in self.doubts:
            condition = condition | doubt.condition
        return replace(self, frame=self.frame.where(condition))

    def refusing(self, rows: DataFrame, reason: SparkColumn) -> Table:
        """This table with `rows` (of its frame, perhaps with more columns) among the refused ones."""
        shown = [
            F.expr(f"`{column.name.replace('`', '``')}`")
            for column in self.columns
            if column.layout != "tensor" and column.name in rows.columns
        ]
        content = F.to_json(F.struct(*shown)) if shown else F.lit("")
        refused = rows.select("sample_id", reason.cast("string").alias("reason"), content.alias("content"))
        both = refused if self.refused is None else self.refused.unionByName(refused)
        return replace(self, refused=both)

    def counted(self) -> Rows:
        """The rows of each split. Raises BadData for every doubt that is one."""
        found = [F.count_if(doubt.condition).alias(f"d{at}") for at, doubt in enumerate(self.doubts)]
        rows = self.frame.groupBy("split").agg(F.count("*").alias("n"), *found).collect()
        wrong = [sum(row[f"d{at}"] for row in rows) for at in range(len(found))]
        BadData.unless_empty(
            Fault(where=doubt.where, message=doubt.message.replace("{rows}", str(count)))
            for doubt, count in zip(self.doubts, wrong, strict=True)
            if count
        )
        return {row["split"]: row["n"] for row in rows}


@dataclass(frozen=True)
class OriginFile:
    """A file that a source reads: `<data set>/<file>` in the mirror, or fetched from `url`."""

    name: str
    url: str | None = None
    sha256: str | None = None
    """Of the bytes, uncompressed ones for `.gz`: two archives of one file may differ."""
    or_folder: bool = False
    """Whether a folder may have this name, and all the part files in it are meant."""


class Source(Protocol):
    """Raw data as a typed table."""

    licence: str
    origin: str

    def origin_files(self) -> tuple[OriginFile, ...]:
        """The files that `read` needs; none for embedded or generated data."""
        ...

    def read(self, spark: SparkSession, files: Mapping[str, Path], seed: int) -> Table:
        """All rows, from the local, verified files named by `files`."""
        ...


@runtime_checkable
class Listing(Protocol):
    """A source whose files are named elsewhere: in a table of pictures, or by the folder that holds them."""

    @property
    def folder(self) -> str | None:
        """Path or URL of the folder, where there is one."""
        ...

    def listed_files(self, files: Mapping[str, Path], folders: Sequence[Path]) -> tuple[OriginFile, ...]:
        """The files that are named in `files`, or lie in one of `folders`, and are there; `read` gets all."""
        ...


class Step(Protocol):
    """One change of a table. Raise its `version`, a part of the dataset's, whenever a config gives other rows."""

    version: ClassVar[int]
    place: ClassVar[Place]
    """Where it may stand: what learns from train, or changes train alone, stands behind the split."""
    served: ClassVar[Served]
    """How a served model does it, which the manifest keeps; `prepare` looks whether `same` is true."""
    train_only: ClassVar[bool]
    """Whether the step sees and changes the train split alone (rebalance, augment); `prepare` keeps the rest from it.

    Such a step that adds columns says in `fill: ClassVar[dict[str, float]]` what the rows of other splits get; one
    that adds rows or leaves some out says so in a property `resamples`. A step that computes a row from others says
    `looks_around`, and stands before all that resample. One that is `lazy` adds columns to every row, learns nothing
    and looks at no row by itself: what it has to know of them are `doubts` of its table. One that `chooses` leaves rows
    out, or says which split they belong to, by what stands in each alone: it is done in the same pass as the lazy ones
    before it.
    """

    def fit(self, train: Table, seed: int) -> Learned:
        """What the step has to know of the data, from the train split alone; empty for steps that learn nothing."""
        ...

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        """The changed table. Draws follow from (seed, sample_id, purpose), never from the order of rows."""
        ...


@runtime_checkable
class Watchful(Protocol):
    """A step that may read what a row cannot know, such as its own target."""

    def leaks(self, roles: Roles, telling: Telling) -> list[str]:
        """What is certain to leak with columns of these roles, and what tells the target; empty when nothing is."""
        ...


@runtime_checkable
class Computing(Protocol):
    """A step that may compute columns from the target, which later steps read."""

    def tells(self, roles: Roles, telling: Telling) -> Telling:
        """The columns that it adds and that tell the target."""
        ...


@runtime_checkable
class Reaching(Protocol):
    """A step that may compute columns from later rows, or from all rows of a group."""

    def reaches(self, before: Reached) -> Mapping[str, Reach]:
        """The columns that it adds and computes from such rows, or from a column that was."""
        ...


@runtime_checkable
class Deriving(Protocol):
    """A step that computes columns from others of the same row, which serving may compute, too."""

    def computed(self, table: Table) -> dict[str, Computed]:
        """Those of the columns that it adds to the table of which serving knows all that is done."""
        ...


@runtime_checkable
class Planning(Protocol):
    """A step that says what it is about to do."""

    def plan(self, learned: Learned) -> list[str]:
        """The lines that are told before it is done; none when there is nothing to do."""
        ...

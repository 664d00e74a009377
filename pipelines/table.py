"""The table of a preparation, and the protocols of sources and steps.

A source is a frozen pydantic model in `pipelines/sources/<name>.py`, a step a frozen model in
`pipelines/steps/<name>.py`; the class is named after its file (`steps/scale.py` holds `Scale`). Its fields are the
fields of the recipe.
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
"""The role of each known column, by name."""
DerivedColumns = Mapping[str, "Derived"]
"""The columns that earlier steps have computed from the target, by name, whatever their roles."""
Reached = Mapping[str, "Reach"]
"""The columns that earlier steps have computed from other rows, by name in lower case."""
Rows = dict[str | None, int]
"""The row count of each split; None: no split yet."""
Learned = dict[str, Any]
"""What a step learned from the train split: plain JSON values, stored in the manifest."""


@dataclass(frozen=True)
class Derived:
    """How a column was computed from the target."""

    step: str
    """The step that computed it."""
    is_delayed: bool
    """Whether it depends only on targets of earlier rows."""


@dataclass(frozen=True)
class Reach:
    """The other rows that a column was computed from, except earlier ones."""

    role: str
    """The role of the column."""
    looks_ahead: bool
    """Whether later rows were read."""
    groups: tuple[frozenset[str], ...]
    """The grouping columns, in lower case, of each grouping that was read completely."""


@dataclass(frozen=True)
class Doubt:
    """A deferred check: an error if any row fulfils a condition."""

    where: str
    condition: SparkColumn
    message: str
    """The error, with {rows} for the number of such rows."""


@dataclass(frozen=True)
class Table:
    """A Spark frame with the schema of its columns.

    `frame` has the columns of `columns` and the lineage: sample_id (string, unique, the same in every run), parent_id
    and op (strings, null for original rows), and `split` (train, valid or test; null until a step or source sets it).
    `refused` has the quarantined rows: sample_id, reason (short, counted), content (the row as text). `doubts` are
    checked when the rows are counted, so that a step needs no pass over them of its own; `rows` is the last row count.
    """

    frame: DataFrame
    columns: tuple[Column, ...]
    refused: DataFrame | None = None
    doubts: tuple[Doubt, ...] = ()
    rows: int = 0
    held: DataFrame | None = None
    """The frame that a source has persisted, if `frame` is only a selection from it."""
    resolved: Mapping[str, Any] = field(default_factory=dict)
    """Resolved values of source fields that the recipe leaves open: inferred columns."""

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    def check_new(self, where: str, *names: str) -> None:
        """Raises BadData where a step would overwrite a column: names are case-insensitive in Spark."""
        there = {name.lower(): name for name in self.frame.columns}
        BadData.unless_empty(
            Fault(where=where, message=f"there is a column {there[name.lower()]!r} already; give another name")
            for name in names
            if name.lower() in there
        )

    @property
    def classes(self) -> tuple[Column, ...]:
        """The categorical target columns."""
        return tuple(column for column in self.columns if column.role == "target" and column.meaning == "category")

    def replacing(self, frame: DataFrame, *columns: Column) -> Table:
        """This table with another frame, and with `columns` replacing those of the same name, or added."""
        new = {column.name: column for column in columns}
        kept = tuple(new.pop(column.name, column) for column in self.columns)
        return replace(self, frame=frame, columns=(*kept, *new.values()))

    def keeping(self, condition: SparkColumn) -> Table:
        """This table with the rows that fulfil a condition, and those that fail a deferred check, to be reported."""
        for doubt in self.doubts:
            condition = condition | doubt.condition
        return replace(self, frame=self.frame.where(condition))

    def refusing(self, rows: DataFrame, reason: SparkColumn) -> Table:
        """This table with `rows` (of its frame, perhaps with more columns) added to the refused ones."""
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
        """The row count of each split. Raises BadData for every deferred check that fails."""
        violations = [F.count_if(doubt.condition).alias(f"d{at}") for at, doubt in enumerate(self.doubts)]
        rows = self.frame.groupBy("split").agg(F.count("*").alias("n"), *violations).collect()
        wrong = [sum(row[f"d{at}"] for row in rows) for at in range(len(violations))]
        BadData.unless_empty(
            Fault(where=doubt.where, message=doubt.message.replace("{rows}", str(count)))
            for doubt, count in zip(self.doubts, wrong, strict=True)
            if count
        )
        return {row["split"]: row["n"] for row in rows}


@dataclass(frozen=True)
class OriginFile:
    """A file that a source reads: `<dataset>/<file>` in the mirror, or fetched from `url`."""

    name: str
    url: str | None = None
    sha256: str | None = None
    """Of the bytes, decompressed for `.gz`: two archives of the same file may differ."""
    or_folder: bool = False
    """Whether the name may be a folder, of which all part files are read."""


Identity = Literal["content", "store"]
"""By what files that are read where they lie are identified: the SHA-256 of their bytes, computed by the workers, or
what their store vouches for: its tag and the length."""


@dataclass(frozen=True)
class StoredFile:
    """A file that the workers read where it lies."""

    name: str
    """In the manifest; for files of a table relative to their root, the same wherever that is."""
    where: str
    """Path or URL."""
    bytes: int
    tag: str
    """What the store vouches for: `etag:...`, or `modified:...` for a disk or a Hadoop file system."""


class Source(Protocol):
    """Raw data as a typed table. A source that makes its rows, or reads no files, has their size as `raw_bytes`."""

    licence: str
    origin: str

    def origin_files(self) -> tuple[OriginFile, ...]:
        """The files that `read` needs; none for embedded or synthetic data."""
        ...

    def read(self, spark: SparkSession, files: Mapping[str, Path], seed: int) -> Table:
        """All rows, from the local, verified files named by `files`."""
        ...


@runtime_checkable
class Listing(Protocol):
    """A source whose files are listed in a table of images, or found in a folder."""

    @property
    def folder(self) -> str | None:
        """Path or URL of the folder, if any."""
        ...

    def listed_files(self, files: Mapping[str, Path], folders: Sequence[Path]) -> tuple[OriginFile, ...]:
        """The existing files that `files` list or that are in `folders`; `read` gets all."""
        ...


@runtime_checkable
class InPlace(Protocol):
    """A source that may have files which the workers read where they lie."""

    @property
    def place(self) -> str | None:
        """The path or URL below which they lie; None if all files are origin files."""
        ...

    @property
    def identified_by(self) -> Identity: ...

    def stored_files(self, files: Mapping[str, Path], folders: Sequence[Path]) -> tuple[StoredFile, ...]:
        """The files; a relative path is looked up in `folders`. `files` are the origin files.

        Raises BadData when there are none.
        """
        ...

    def read_stored(
        self, spark: SparkSession, stored: Sequence[StoredFile], files: Mapping[str, Path], seed: int
    ) -> Table:
        """As `read`, from the `stored` files. Raises BadData when one has changed since it was listed."""
        ...


class Step(Protocol):
    """A transformation of a table. Increase `version`, a part of the dataset's, when a config produces other rows."""

    version: ClassVar[int]
    place: ClassVar[Place]
    """Its position: a step that learns from train, or changes train alone, comes after the split."""
    served: ClassVar[Served]
    """How a served model applies it, stored in the manifest; `prepare` verifies `same`."""
    train_only: ClassVar[bool]
    """Whether the step is applied to the train split alone (rebalance, augment).

    Such a step that adds columns sets `fill: ClassVar[dict[str, float]]`, their values in the other splits; if it adds
    or drops rows, its property `resamples` is true. A step that computes a row from others sets `looks_around`, and
    comes before all that resample. A `lazy` step adds columns to every row, learns nothing and runs no Spark job: its
    checks are `doubts` of its table. A step that `chooses` drops rows or assigns splits by the contents of each row
    alone: it runs in the same pass as the lazy steps before it.
    """

    def fit(self, train: Table, seed: int) -> Learned:
        """What the step learns from the train split; empty for steps that learn nothing."""
        ...

    def apply(self, table: Table, learned: Learned, seed: int) -> Table:
        """The transformed table. Random draws depend on (seed, sample_id, purpose), never on the order of rows."""
        ...


@runtime_checkable
class Watchful(Protocol):
    """A step that may cause leakage, such as by reading a row's own target."""

    def leaks(self, roles: Roles, derived: DerivedColumns) -> list[str]:
        """The certain leakage, given the columns' roles and the columns computed from the target; empty if none."""
        ...


@runtime_checkable
class Computing(Protocol):
    """A step that may compute columns from the target, for later steps to read."""

    def derives(self, roles: Roles, derived: DerivedColumns) -> DerivedColumns:
        """The columns that it computes from the target."""
        ...


@runtime_checkable
class Reaching(Protocol):
    """A step that may compute columns from later rows, or from all rows of a group."""

    def reaches(self, before: Reached) -> Mapping[str, Reach]:
        """The columns that it computes from such rows, or from a column that was."""
        ...


@runtime_checkable
class Deriving(Protocol):
    """A step that computes columns from others of the same row, which serving can compute, too."""

    def computed(self, table: Table) -> dict[str, Computed]:
        """The added columns that serving can compute."""
        ...


@runtime_checkable
class Planning(Protocol):
    """A step that reports its plan."""

    def plan(self, learned: Learned) -> list[str]:
        """The lines to report before it runs; none when there is nothing to do."""
        ...

"""Reading configuration of a table to score: that of the model's source, if it was a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from millstream.pipelines.readers import lines, parquet_schema
from millstream.pipelines.readers.part_files import shown
from millstream.pipelines.readers.table_schema import Layout, TableColumn, Type
from millstream.pipelines.sources.table import Table
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData, Fault
from millstream.tracking.runs.model_logging import Described
from millstream.tracking.serving import replay

_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".orc": "orc",
}
_PACKED = (".gz", ".bz2")
_WOULD = "give a file, or a folder of part files, of CSV, JSON lines, Parquet or ORC"
_TYPES: dict[str, Type] = {"string": "string", "double": "double", "long": "long"}


@dataclass(frozen=True)
class ModelInput:
    """An input column of the model."""

    name: str
    declared: TableColumn | None
    """None for images and lists, which are passed to the model unchanged."""
    is_of_source: bool
    """Whether the source was a table that declares the column."""
    may_be_absent: bool

    @property
    def nullable(self) -> bool:
        return self.may_be_absent or (self.declared is not None and self.declared.nullable)


@dataclass(frozen=True)
class Reading:
    inputs: tuple[ModelInput, ...]
    layout: Layout
    format: str
    """Default for file names without a known suffix."""

    @classmethod
    def of(cls, model: Described) -> Self:
        """From the source in the manifest; for sources other than tables, CSV has a header and commas."""
        manifest = model.manifest
        is_table = manifest is not None and manifest.source.name == "table"
        config = manifest.source.config if manifest is not None and is_table else {"files": [{"name": "any"}]}
        source = Table.model_validate({"columns": "inferred", **config})
        declared = source.columns if isinstance(source.columns, dict) else {}
        optional = replay.optional_columns(manifest) if manifest is not None else frozenset()
        raw = {column.name: column for column in replay.raw_columns(manifest)} if manifest is not None else {}
        inputs = tuple(
            ModelInput(name, declared.get(name) or _declared(raw.get(name), kind), name in declared, name in optional)
            for name, kind in model.inputs.items()
        )
        columns = {**declared, **{one.name: one.declared for one in inputs if one.declared is not None}}
        return cls(inputs, source.layout(columns), source.format if is_table else "parquet")

    def check(self, where: object, names: list[str]) -> None:
        """Raises BadData when the table lacks columns that the model needs."""
        missing = [one.name for one in self.inputs if one.name not in names and not one.may_be_absent]
        if missing:
            takes = [one.name for one in self.inputs]
            raise BadData.at(where, f"no columns {missing}; the model takes {takes}, found {names}")


@dataclass(frozen=True)
class Files:
    """A table to score: one file, or the part files of a folder."""

    where: str
    paths: tuple[Path, ...]
    root: Path | None = None
    """The folder, if its part files are partitioned by column values (`day=1/`)."""

    @classmethod
    def of(cls, where: str, path: Path) -> Self:
        """Raises BadData when nothing exists at `path`, or a table log decides which part files are valid."""
        if path.is_file():
            return cls(where, (path,))
        if not path.is_dir():
            raise BadData.at(where, f"cannot be read as a table (no such file or folder); {_WOULD}")
        names = shown(path)
        filled = tuple(path / name for name in names if (path / name).stat().st_size)
        if not filled:
            raise BadData.at(where, f"all of its {len(names)} part files are empty; write the table again")
        return cls(where, filled, path if any("/" in name for name in names) else None)

    def format(self, otherwise: str) -> str:
        path = self.paths[0]
        path = path.with_suffix("") if path.suffix in _PACKED else path
        kind = _FORMATS.get(path.suffix.lower(), otherwise)
        if self.root is not None and kind not in ("parquet", "orc"):
            raise BadData.at(self.where, f"holds folders of {kind} files; name each of the folders by itself")
        return kind

    def damaged(self) -> list[Fault]:
        """Parts of the files that cannot be read."""
        if self.format("") == "parquet":
            return parquet_schema.damaged(self.paths)
        return [fault for path in self.paths for fault in lines.damaged(path)]


def _declared(raw: Column | None, kind: str) -> TableColumn | None:
    """Declaration of a column from the source's manifest, or from the model's signature without one."""
    if raw is None:
        return TableColumn(type=_TYPES[kind], nullable=kind == "string") if kind in _TYPES else None
    if raw.layout != "scalar":
        return None
    if raw.dtype.startswith("datetime64"):
        return TableColumn(type="timestamp")
    if raw.dtype == "string":
        return TableColumn(type="string", nullable=True)
    return TableColumn(type="long" if raw.dtype.startswith(("int", "uint")) else "double")

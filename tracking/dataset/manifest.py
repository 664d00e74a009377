"""The contract of a dataset version: what its `manifest.json` says, and the signature that networks are built from.

`<store>/<name>/<version>/` holds `split=<split>/part-*.parquet`, `quarantine/` and `manifest.json`, written last.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from millstream.tracking.dataset.class_balance import plans
from millstream.tracking.dataset.filesystems import Place
from millstream.tracking.dataset.windows import SERIES, Windows
from millstream.tracking.errors import BadData
from millstream.tracking.formulas.expressions import Formula

FORMAT = 1
FILE = "manifest.json"
SPLITS = ("train", "valid", "test")
LINEAGE = ("sample_id", "parent_id", "op")
ASIDE = "quarantine"
ASIDE_FILE = re.compile(rf"{ASIDE}/part-\d{{5,}}(-[0-9a-f]+)?\.parquet")
_SHARD_FILE = re.compile(rf"split=({'|'.join(SPLITS)})/part-\d{{5,}}(-[0-9a-f]+)?\.parquet")

Role = Literal["input", "target", "weight", "mask", "key"]
Served = Literal["same", "replayed", "brought"]
"""How a served model does a step: it leaves the inputs of a row as they are; it is done again; or the caller brings
what it makes, since other rows decide it."""
Layout = Literal["scalar", "tensor", "list"]
Meaning = Literal["number", "category", "image", "mask", "video", "series", "tokens", "text", "vector"]


class _Record(BaseModel, frozen=True, extra="forbid"):
    pass


class Affine(_Record):
    """y = (x - offset) * factor, applied when a batch is made, to tensors whose stored bytes stay raw."""

    offset: float = 0.0
    factor: float = 1.0


class Column(_Record):
    """One column of the Parquet files.

    `scalar`: a plain Parquet value. `tensor`: raw little-endian bytes in a binary column, `shape` without the row axis.
    `list`: a Parquet list of variable length, `shape` = (longest,).
    """

    name: str
    dtype: str = Field(description="numpy name: uint8, int64, float32, ..., or string")
    layout: Layout = "scalar"
    shape: tuple[int, ...] = ()
    axes: str = Field("", description="names of the shape's axes, such as CHW or T")
    role: Role
    meaning: Meaning
    unit: str = ""
    classes: tuple[str, ...] | None = Field(None, description="what each whole number of a category means, in order")
    vocabulary: tuple[str, ...] | None = Field(
        None, description="what each token number means; 0 is padding, 1 unknown"
    )
    affine: Affine | None = None


class File(_Record):
    name: str
    sha256: str
    bytes: int


class Source(_Record):
    name: str
    config: dict[str, Any]
    licence: str
    origin: str
    files: tuple[File, ...]


class Computed(_Record):
    """A column that a step computed from others of the same row, so that serving can compute it, too."""

    formula: Formula
    role: Role
    reads: tuple[Column, ...] = Field(description="as they were before the step")


class Serving(_Record):
    """How a served model does a step: what the step's class declares, and what it made."""

    does: Served
    brought: tuple[str, ...] = Field((), description="columns that it made, and that the caller of a model brings")
    computed: dict[str, Computed] = Field({}, description="columns that it made, and that serving computes")


class Step(_Record):
    """One preparation step as it was done; `learned` is what it fitted on the train split."""

    name: str
    version: int
    config: dict[str, Any]
    learned: dict[str, Any]
    rows_in: int
    rows_out: int
    seconds: float
    served: Serving | None = Field(None, description="none in a manifest from before this was")


class Shard(_Record):
    file: str = Field(description="path below the version's folder")
    rows: int
    bytes: int
    sha256: str
    row_groups: int


def _in_its_split(shard: Shard) -> Shard:
    """What a manifest lists is read: no path may lead out of the version's folder."""
    if not _SHARD_FILE.fullmatch(shard.file):
        raise ValueError(f"{shard.file!r} is no file of a split: expected {_SHARD_FILE.pattern}")
    return shard


def _put_aside(shard: Shard) -> Shard:
    if not ASIDE_FILE.fullmatch(shard.file):
        raise ValueError(f"{shard.file!r} is no file of rows put aside: expected {ASIDE_FILE.pattern}")
    return shard


class Split(_Record):
    rows: int
    class_counts: dict[str, int]
    digest: str = Field(
        description="sum of row hashes mod 2**128, 32 hex digits: names the content, whatever the order"
    )
    shards: tuple[Annotated[Shard, AfterValidator(_in_its_split)], ...]


class Check(_Record):
    name: str
    ok: bool
    figures: dict[str, Any]


class InputField(_Record):
    """One tensor that a network takes (or, as the target, is compared with).

    All scalar numbers of a table arrive as one float32 tensor (B, D) called `numbers`, all scalar categories as
    one int64 tensor (B, D) called `categories`; any other column is a tensor of its own, called after the column.
    `tokens` come as two tensors: int64 (B, T), padded with 0, and the lengths int64 (B,).
    """

    name: str
    meaning: Meaning
    dtype: str
    shape: tuple[int, ...]
    columns: tuple[Column, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many different values each category has, in the order of `columns`."""
        return tuple(len(column.classes or ()) for column in self.columns)


class Shares(_Record):
    """What part of the train rows each class of the target has, in the order of the classes."""

    given: tuple[float, ...] = Field(description="as the rows came")
    trained: tuple[float, ...] = Field(description="as a model learns from them: after rebalancing, by weight")
    strangers: tuple[str, ...] = Field((), description="classes that were rebalanced, and that the target has not")


class Signature(_Record):
    """What a network is built from: the tensors it takes, and what the target is."""

    inputs: tuple[InputField, ...]
    target: InputField | None = None
    weighted: bool = False
    shares: Shares | None = Field(None, description="where the classes of the target were rebalanced")

    @classmethod
    def of(cls, columns: Sequence[Column], target: str | None = None) -> Signature:
        """The signature of these columns for a task whose target is the column `target`."""
        inputs = [column for column in columns if column.role == "input" and column.name != target]
        found = next((column for column in columns if column.name == target), None)
        weighted = any(column.role == "weight" for column in columns)
        return cls(inputs=tuple(_fields(inputs)), target=_field(found) if found else None, weighted=weighted)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the target's classes; empty when the target is no category."""
        return (self.target.columns[0].classes or ()) if self.target else ()

    @property
    def outputs(self) -> int:
        """How many numbers tell the target: one a class, or the size of a numeric one. Raises BadData without one."""
        if self.target is None:
            raise BadData.at("network", "needs a target to know how many outputs it has; give the task one")
        return len(self.classes) or math.prod(self.target.shape)

    def telling(self, numbers: int) -> Signature:
        """For a network that gives so many numbers a row to tell the target: the parameters of a distribution, say.

        Raises BadData without a target.
        """
        if self.target is None:
            raise BadData.at("network", "needs a target to tell; give the task one")
        column = self.target.columns[0].model_copy(update={"classes": None})
        told = {"meaning": "vector", "dtype": "float32", "shape": (numbers,), "columns": (column,)}
        return self.model_copy(update={"target": self.target.model_copy(update=told)})

    def single(self, meaning: Meaning) -> InputField:
        """The only input, of the meaning that the network can read.

        Raises BadData when there are other inputs or none.
        """
        if len(self.inputs) != 1 or self.inputs[0].meaning != meaning:
            found = ", ".join(f"{one.name} ({one.meaning}, {one.shape})" for one in self.inputs) or "none"
            raise BadData.at("network", f"takes one input that is {meaning}; the dataset has {found}")
        return self.inputs[0]


class Manifest(_Record):
    """Everything that is known of a dataset version."""

    format: int = FORMAT
    name: str
    version: str
    seed: int
    created: str = Field(description="UTC, ISO 8601")
    source: Source
    steps: tuple[Step, ...]
    columns: tuple[Column, ...]
    splits: dict[str, Split]
    checks: tuple[Check, ...]
    quarantine: dict[str, int] = Field(description="rows refused, by reason")
    parents: tuple[str, ...] = Field((), description="dataset versions that this one was made from")
    put_aside: tuple[Annotated[Shard, AfterValidator(_put_aside)], ...] = Field(
        (), description="files of the rows refused; none stand here where there are none, or written before this was"
    )

    def column(self, name: str) -> Column:
        """Raises BadData when the dataset has no such column."""
        for column in self.columns:
            if column.name == name:
                return column
        raise BadData.at(f"{self.name}/{self.version}", f"no column {name!r}; it has {[c.name for c in self.columns]}")

    def signature(self, target: str | None = None) -> Signature:
        """The signature for a task whose target is the column `target`; without one, inputs alone.

        Columns with the role `target` other than the task's own are no inputs. Of windows the target is `series`: its
        first steps are read, its last ones told. Raises BadData for an unknown target, or one that is text.
        """
        if target is not None and self.column(target).dtype == "string":
            would = f"put `- encode: {{columns: [{target}]}}` after the split, and prepare again"
            raise BadData.at(
                f"{self.name}/{self.version}", f"target {target!r} is text, which no network tells; {would}"
            )
        windows = Windows.of(self.steps)
        if windows is None:
            return self._shared(Signature.of(self.columns, target), target)
        whole = Signature.of(self.columns)
        inputs = tuple(windows.cut(field, windows.look_back) for field in whole.inputs)
        if target is None:
            return whole.model_copy(update={"inputs": inputs})
        if target != SERIES or not windows.horizon:
            told = f"target {target!r}: windows tell {windows.horizon} steps of {SERIES!r}, and nothing else"
            raise BadData.at(f"{self.name}/{self.version}", told)
        told_steps = windows.cut(_field(self.column(SERIES)), windows.horizon)
        return whole.model_copy(update={"inputs": inputs, "target": told_steps})

    def _shared(self, signature: Signature, target: str | None) -> Signature:
        """The signature with the shares of its classes, where rebalancing has changed them.

        A class that no row had has none; one that the target has by no name is told as a stranger.
        """
        done = [plan for plan in plans(self.steps) if plan.column == target]
        if not done or not signature.classes:
            return signature
        given, trained = (
            tuple(part.get(name, 0.0) for name in signature.classes) for part in (done[0].given, done[-1].trained)
        )
        strangers = tuple(name for name in {**done[0].before, **done[-1].before} if name not in signature.classes)
        return signature.model_copy(update={"shares": Shares(given=given, trained=trained, strangers=strangers)})

    def text(self) -> str:
        """JSON whose first member, `sha256`, is the hash of all the rest: a flipped bit shows."""
        body = self.model_dump(mode="json")
        if not self.put_aside:  # so that a manifest from before there was this keeps its form
            del body["put_aside"]
        for step in body["steps"]:
            if step["served"] is None:
                del step["served"]
        return json.dumps({"sha256": _digest(body), **body}, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def parse(cls, text: str, where: object) -> Self:
        """Raises BadData when the text is no manifest, is of another format, or does not match its own hash."""
        try:
            body = json.loads(text)
            said = body.pop("sha256")
            if said != _digest(body):
                raise ValueError("its content does not match its sha256")
            manifest = cls.model_validate(body)
            if manifest.text() != text:
                raise ValueError("it is not in the form in which it was written")
            return manifest
        except (ValueError, KeyError, AttributeError, TypeError, ValidationError) as error:
            raise BadData.at(
                where, f"not a whole manifest of format {FORMAT}: {error}; prepare the dataset again"
            ) from error

    @classmethod
    def read(cls, version: Place) -> Self:
        """The manifest of the dataset version in the folder `version`, here or behind a URL.

        Raises BadData when there is none (then there is no version) or it is damaged.
        """
        try:
            text = (version / FILE).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            raise BadData.at(version, f"no {FILE}, so no dataset version; `millstream prepare` makes one") from None
        except UnicodeDecodeError as error:
            raise BadData.at(version / FILE, f"not UTF-8 ({error}); prepare the dataset again") from None
        return cls.parse(text, version / FILE)


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _fields(columns: list[Column]) -> list[InputField]:
    numbers = tuple(c for c in columns if c.layout == "scalar" and c.meaning == "number")
    categories = tuple(c for c in columns if c.layout == "scalar" and c.meaning == "category")
    rest = [c for c in columns if c not in numbers and c not in categories and c.dtype != "string"]
    found = [_field(column) for column in rest]
    if numbers:
        found.append(
            InputField(name="numbers", meaning="number", dtype="float32", shape=(len(numbers),), columns=numbers)
        )
    if categories:
        shape = (len(categories),)
        found.append(InputField(name="categories", meaning="category", dtype="int64", shape=shape, columns=categories))
    return found


def _field(column: Column) -> InputField:
    whole = np.issubdtype(np.dtype(column.dtype), np.integer) and column.affine is None and column.meaning != "number"
    dtype = "int64" if whole else "float32"
    return InputField(name=column.name, meaning=column.meaning, dtype=dtype, shape=column.shape, columns=(column,))

"""The schema of a recipe's data before it is prepared: from an earlier version, or as declared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

from millstream.pipelines.prepare import Work, work_of
from millstream.tracking.dataset.filesystems import Remote, place
from millstream.tracking.dataset.manifest import Manifest, Source
from millstream.tracking.dataset.records import Affine, Column
from millstream.tracking.dataset.version import versions
from millstream.tracking.errors import BadData
from millstream.tracking.recipe.schema import Located
from millstream.tracking.settings import Settings

CLASSES = (2, 3)
"""Numbers of classes assumed when only the data determine it: some metrics are defined for two classes alone."""
_KEEPING = ("split", "validate", "filter", "deduplicate", "decontaminate", "impute")
"""Steps that do not change the columns."""


@runtime_checkable
class Declaring(Protocol):
    """A source that may know its columns before reading a row."""

    def declared(self, classes: tuple[str, ...]) -> tuple[Column, ...] | None:
        """The columns, with these classes where only the data determine them; None when unknown."""
        ...


def manifests(located: Located, settings: Settings) -> list[Manifest]:
    """The possible manifests of the data, for their columns; empty when unknown.

    A prepared version has a complete manifest. Declared columns return one manifest with two classes and one with more,
    without splits.
    """
    work = work_of(located)
    if work is None:
        return []
    made = next(_made(work, settings), None)
    if made is not None:
        return [made]
    each = (_columns(work, tuple(f"class {at}" for at in range(count))) for count in CLASSES)
    return [_declared(work, columns) for columns in each if columns is not None]


def _made(work: Work, settings: Settings) -> Iterator[Manifest]:
    """The versions in a local store with the same source and steps, whatever the contents of their files."""
    if isinstance(place(settings.store), Remote):
        return
    steps = [(name, step.version, step.model_dump(mode="json")) for name, step in work.steps]
    for folder in versions(settings.store, work.name):
        try:
            manifest = Manifest.read(folder)
        except BadData:
            continue  # reported when it is opened
        same = [(one.name, one.version, one.config) for one in manifest.steps] == steps and manifest.seed == work.seed
        if same and (manifest.source.name, manifest.source.config) == (
            work.source_name,
            work.source.model_dump(mode="json"),
        ):
            yield manifest


def _declared(work: Work, columns: tuple[Column, ...]) -> Manifest:
    source = Source(name=work.source_name, config={}, licence=work.source.licence, origin=work.source.origin, files=())
    return Manifest(
        name=work.name,
        version="",
        seed=work.seed,
        created="",
        source=source,
        steps=(),
        columns=columns,
        splits={},
        checks=(),
        quarantine={},
    )


def _columns(work: Work, classes: tuple[str, ...]) -> tuple[Column, ...] | None:
    columns = work.source.declared(classes) if isinstance(work.source, Declaring) else None
    for name, step in work.steps:
        if columns is None:
            return None
        if name in _KEEPING:
            continue
        change = _CHANGES.get(name)
        columns = change(step, columns, classes) if change else None
    return columns


def _encoded(step: Any, columns: tuple[Column, ...], classes: tuple[str, ...]) -> tuple[Column, ...] | None:
    if step.method != "index":
        return None

    def one(column: Column) -> Column:
        text = column.meaning == "category" and column.dtype == "string" and column.role != "key"
        if not (text if step.columns == "categories" else column.name in step.columns):
            return column
        update = {"dtype": "int64", "meaning": "category", "classes": step.classes or classes}
        return column.model_copy(update=update)

    return tuple(map(one, columns))


def _scaled(step: Any, columns: tuple[Column, ...], classes: tuple[str, ...]) -> tuple[Column, ...] | None:
    chosen = step.columns if step.columns is not None else (step.column,)

    def one(column: Column) -> Column:
        is_number = column.role == "input" and column.meaning == "number" and column.layout == "scalar"
        if not (is_number if chosen == "numbers" else column.name in chosen):
            return column
        is_kept = column.layout == "tensor" or column.role == "target"
        return column.model_copy(update={"affine": Affine()} if is_kept else {"dtype": "float32"})

    return None if step.method == "quantile" else tuple(map(one, columns))


def _with_features(step: Any, columns: tuple[Column, ...], classes: tuple[str, ...]) -> tuple[Column, ...]:
    return (*columns, *(feature.column(name) for name, feature in step.add.items()))


def _tokenized(step: Any, columns: tuple[Column, ...], classes: tuple[str, ...]) -> tuple[Column, ...]:
    made = {"dtype": "int64", "layout": "list", "shape": (step.longest,), "axes": "T", "vocabulary": classes}
    tokens = [
        Column(name=step.to.replace("{column}", name), role="input", meaning="tokens", **made) for name in step.columns
    ]
    read = [one.model_copy(update={"role": "key"}) if one.name in step.columns else one for one in columns]
    return (*read, *tokens)


def _balanced(step: Any, columns: tuple[Column, ...], classes: tuple[str, ...]) -> tuple[Column, ...] | None:
    if step.method != "weights":
        return columns
    return (*columns, Column(name="weight", dtype="float32", role="weight", meaning="number"))


_CHANGES: dict[str, Callable[[Any, tuple[Column, ...], tuple[str, ...]], tuple[Column, ...] | None]] = {
    "encode": _encoded,
    "features": _with_features,
    "scale": _scaled,
    "tokenize": _tokenized,
    "rebalance": _balanced,
}

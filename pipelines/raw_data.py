"""Looks at the data of a recipe before they are prepared: a sample of each file, without Spark.

Faults stop a preparation or training; doubts are what a person should look at, such as rows that would be quarantined.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from millstream.pipelines.checks.raw_tables import Misfit, misfits, missing_rows
from millstream.pipelines.prepare import Work, work_of
from millstream.pipelines.readers import origin_files
from millstream.pipelines.readers.image_folder import listed
from millstream.pipelines.readers.table_schema import TableColumn
from millstream.pipelines.samples.images import images_in
from millstream.pipelines.samples.tables import Sample, sample
from millstream.pipelines.sources.images import Images
from millstream.pipelines.sources.table import Table
from millstream.tracking.dataset.filesystems import Remote, place
from millstream.tracking.errors import BadData, Fault
from millstream.tracking.recipe.schema import Located
from millstream.tracking.settings import Settings

MOST_FILES, MOST_ROWS, MOST_IMAGES, SHOWN = 3, 5000, 200, 8
LEAST_OF_CLASS = 3


@dataclass(frozen=True)
class Looked:
    """Faults and doubts of raw data."""

    faults: tuple[Fault, ...] = ()
    doubts: tuple[Fault, ...] = ()


def look(located: Located, settings: Settings) -> Looked:
    """What is wrong with the data of a recipe without other faults. Files at a URL are not looked at."""
    work = work_of(located)
    if work is None:
        return Looked()
    try:
        present = _present(work, located, settings)
        if isinstance(work.source, Table):
            paths = [present[file.name] for file in work.source.files if file.name in present]
            return _of_table(work, work.source, paths, located)
        if isinstance(work.source, Images) and work.source.folder is not None:
            return _of_images(work.source, located, settings)
        if getattr(work.source, "folder", None) is not None:
            _files_of(work.source.folder, settings)
    except BadData as refused:
        return Looked(refused.faults)
    return Looked()


def _present(work: Work, located: Located, settings: Settings) -> dict[str, Path]:
    """The files and folders of the source on this machine, by name. Raises BadData for those that are nowhere."""
    found, missing = dict[str, Path](), list[Fault]()
    for file in work.source.origin_files():
        name = place(file.name)
        if isinstance(name, Remote):
            continue
        places = origin_files.places(name, settings)
        there = next((one for one in places if one.exists()), None)
        if there is not None:
            found[file.name] = there
        elif file.url is None or file.sha256 is None:
            looked = ", ".join(dict.fromkeys(str(one.parent) for one in places))
            message = f"data.source: {file.name}: not found in {looked}; put it there, or correct its name"
            missing.append(Fault(where=located.where("data.source.files"), message=message))
    BadData.unless_empty(missing)
    return found


def _of_table(work: Work, source: Table, paths: list[Path], located: Located) -> Looked:
    if source.format == "orc":
        return Looked()
    faults, doubts = list[Fault](), list[Fault]()
    for path in paths[:MOST_FILES]:
        if path.is_dir() and source.format != "parquet":
            continue  # part files of one schema, which `prepare` compares
        found = _sampled(path, source)
        more = _of_columns(found, work, source, path, located)
        faults += more.faults
        doubts += more.doubts
    return Looked(tuple(dict.fromkeys(faults)), tuple(dict.fromkeys(doubts)))


def _sampled(path: Path, source: Table) -> Sample:
    """A sample as the recipe declares it. Raises BadData where the file has other columns."""
    if source.format != "csv":
        return sample(path, source.format, most=MOST_ROWS)  # type: ignore[arg-type]
    found = sample(path, "csv", delimiter=source.delimiter, header=source.header, most=MOST_ROWS)
    return found if source.header else replace(found, names=_declared_names(found, source, path))


def _declared_names(found: Sample, source: Table, path: Path) -> tuple[str, ...]:
    declared = tuple(source.columns)
    if len(declared) != len(found.names):
        message = f"{len(found.names)} values in a row, and the recipe declares {len(declared)} columns"
        raise BadData.at(path, f"{message} ({', '.join(declared[:SHOWN])}, ...); without a header all are declared")
    return declared


def _of_columns(found: Sample, work: Work, source: Table, path: Path, located: Located) -> Looked:
    if not isinstance(source.columns, dict):
        return Looked(tuple(_lacking(found, {str(source.target)} - {"None"}, path, located)))
    declared, layout = source.columns, source.layout(source.columns)
    lacking = list(_lacking(found, set(declared), path, located))
    if lacking:
        usual = sample(path, source.format).delimiter if source.format == "csv" else source.delimiter
        if usual != source.delimiter:
            message = f"data.source.delimiter: {source.delimiter!r}, and {path.name} seems to have {usual!r}"
            lacking = [Fault(where=located.where("data.source.delimiter"), message=message)]
        return Looked(tuple(lacking))
    wrong, good = misfits(found, declared, layout)
    then = "such rows are quarantined" if good else "no row is left"
    shown = [_fault(one, found, path, located, then) for one in wrong[:SHOWN]]
    if not good:
        return Looked(tuple(shown) or (_empty(path),))
    faults = [*_nulls(found, work, declared, source, path, located), *_classes(found, work, declared, located)]
    doubts = [*shown]
    if found.odd:
        message = f"{len(found.odd)} rows have another number of values than the header ({found.odd[0]})"
        doubts.append(Fault(where=str(path), message=f"{message}: they are quarantined"))
    return Looked(tuple(faults), tuple(doubts))


def _empty(path: Path) -> Fault:
    return Fault(where=str(path), message="no row, only a header")


def _lacking(found: Sample, names: set[str], path: Path, located: Located) -> Iterator[Fault]:
    for name in sorted(names - set(found.names)):
        near = difflib.get_close_matches(name, found.names, n=1)
        would = f"did you mean {near[0]!r}? " if near else ""
        message = f"data.source.columns: {path.name} has no column {name!r}; {would}it has {list(found.names[:20])}"
        yield Fault(where=located.where(f"data.source.columns.{name}"), message=message)


def _fault(one: Misfit, found: Sample, path: Path, located: Located, then: str) -> Fault:
    where = located.where(f"data.source.columns.{one.column}")
    return Fault(where=where, message=f"{path.name}: {one.shown(found.rows)}: {then}")


def _nulls(
    found: Sample, work: Work, declared: dict[str, TableColumn], source: Table, path: Path, located: Located
) -> Iterator[Fault]:
    """Numbers that are missing and that no step fills in: no network reads them."""
    handled = _handled(work)
    layout = source.layout(declared)
    for name, column in declared.items():
        is_read = column.role in ("input", "target") and column.type in ("long", "double") and column.nullable
        if not is_read or name in handled or ("*" in handled and column.role == "input"):
            continue
        rows, first = missing_rows(found, name, layout)
        if rows:
            message = f"{name}: is missing in {rows:,} of {found.rows:,} rows looked at (the first is {first}), and no "
            would = f"step fills it in; put `- impute: {{columns: [{name}], method: median}}` after the split"
            yield Fault(where=located.where(f"data.source.columns.{name}"), message=message + would)


def _handled(work: Work) -> set[str]:
    """Columns whose missing values a step fills in or puts into quarantine; `*`: all inputs that are numbers."""
    names: set[str] = set()
    for step, config in work.steps:
        if step == "impute":
            names |= {"*"} if config.columns == "numbers" else set(config.columns)
        if step == "validate":
            names |= {*config.required, *_words(config.rules.values())}
        if step == "filter":
            names |= _words([config.keep])
        if step == "features":
            names |= _words(one.expression for one in config.add.values()) & set(config.add)
    return names


def _words(texts: Any) -> set[str]:
    return {word for text in texts for word in text.replace("`", " ").replace("(", " ").replace(")", " ").split()}


def _classes(found: Sample, work: Work, declared: dict[str, TableColumn], located: Located) -> Iterator[Fault]:
    """A target of one class, or of classes with too few rows for a stratified split: where all rows were looked at."""
    target = located.section("task").get("target")
    column = declared.get(target) if isinstance(target, str) else None
    if column is None or column.type != "string" or not found.is_complete or len(work.source.files) > 1:
        return
    values = found.columns[found.names.index(str(target))]
    counts: dict[str, int] = {}
    for value in values:
        if value is not None and str(value).strip() not in ("", work.source.null):
            counts[str(value).strip(column.strip or None)] = counts.get(str(value).strip(column.strip or None), 0) + 1
    if len(counts) == 1:
        message = f"task.target: {target} is {next(iter(counts))!r} in every row: there is nothing to distinguish"
        yield Fault(where=located.where("task.target"), message=message)
    split = next((config for step, config in work.steps if step == "split"), None)
    if split is not None and split.by == "stratified" and work.source.limit is None:
        few = [name for name, rows in counts.items() if rows < 1 + bool(split.valid) + bool(split.test)]
        if few:
            message = f"{target} {few[0]!r} has {counts[few[0]]} rows ({len(few)} such classes), too few for each split"
            would = "use `by: hash`, or drop the class with a filter"
            yield Fault(where=located.where("data.steps.split"), message=f"data.steps.split: {message}; {would}")


def _of_images(source: Images, located: Located, settings: Settings) -> Looked:
    files = _files_of(str(source.folder), settings)
    step = max(1, len(files) // MOST_IMAGES)
    seen = images_in(files[::step])
    where = located.where("data.source.folder")
    if files and not seen.read:
        message = f"data.source.folder: none of {seen.tried} files could be read as an image, as {seen.first_bad!r}"
        return Looked((Fault(where=where, message=message),))
    bad = seen.tried - seen.read
    message = f"{bad} of {seen.tried} files cannot be read as images, as {seen.first_bad!r}: they are quarantined"
    return Looked((), (Fault(where=where, message=message),) * bool(bad))


def _files_of(folder: str, settings: Settings) -> list[Path]:
    """The files of a folder of classes. Raises BadData when it is not there, or has no files in its folders."""
    where = place(folder)
    if isinstance(where, Remote):
        return []
    folders = [one for one in (settings.mirror, Path.cwd()) if one is not None]
    root = next((one / where for one in folders if (one / where).is_dir()), Path.cwd())
    names = [Path(file.name) for file in listed(folder, folders, "class", "files")]
    return [root / name.relative_to(where) for name in names]

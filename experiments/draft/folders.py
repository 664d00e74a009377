"""Drafts the recipe of a folder: images or texts by class, files of lines, or part files of a table."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from millstream.experiments.draft import choices
from millstream.experiments.draft.network import Reading, read_images, read_text
from millstream.experiments.draft.of_source import of_source
from millstream.experiments.draft.yaml_text import Draft
from millstream.pipelines.samples.csv_text import lines_of
from millstream.pipelines.samples.images import SUFFIXES, images_in
from millstream.tracking.errors import BadData

TEXTS = frozenset([".txt", ".text", ".md"])
SAMPLED, LINES = 300, 5000
SPLIT_NAMES = {"train", "valid", "val", "test", "validation"}


@dataclass(frozen=True)
class Classes:
    """The files of a folder by class; `beside` lie in no class."""

    files: Mapping[str, Sequence[Path]]
    beside: Sequence[Path]

    @property
    def counts(self) -> dict[str, int]:
        return {name: len(files) for name, files in self.files.items()}

    def sampled(self, most: int = SAMPLED) -> Iterator[Path]:
        """Files of all classes in turn, evenly spaced in each."""
        share = max(1, most // max(1, len(self.files)))
        for files in self.files.values():
            yield from files[:: max(1, -(-len(files) // share))]


def classes_of(root: Path) -> Classes:
    """The visible files of each subfolder, sorted. Raises BadData for a folder with subfolders of splits."""
    files: dict[str, list[Path]] = {}
    beside = []
    for entry in sorted(os.scandir(root), key=lambda one: one.name):
        if entry.name.startswith((".", "_")) or entry.name.startswith("__MACOSX"):
            continue
        if entry.is_dir():
            inside = [Path(one.path) for one in os.scandir(entry.path) if not one.name.startswith((".", "_"))]
            if not any(path.is_file() for path in inside) and any(path.is_dir() for path in inside):
                split = entry.name.lower() in SPLIT_NAMES
                would = "put the folders of the classes into one folder: the recipe splits it" if split else "expected "
                would += "" if split else f"{root.name}/<class>/<file>"
                raise BadData.at(root, f"{entry.name}/ holds folders, and no files; {would}")
            files[entry.name] = sorted(path for path in inside if path.is_file())
        else:
            beside.append(Path(entry.path))
    return Classes({name: paths for name, paths in files.items() if paths}, beside)


def kind_of(found: Classes) -> str:
    """images, texts, lines, parquet, or csv: what most of the files are."""
    every = [path for files in found.files.values() for path in files] or list(found.beside)
    kinds = Counter(_kind(path) for path in every)
    kind = kinds.most_common(1)[0][0] if kinds else ""
    return "lines" if kind == "texts" and not found.files else kind


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    return "images" if suffix in SUFFIXES else "texts" if suffix in TEXTS else suffix.removeprefix(".")


def images(root: Path, shown: str, found: Classes, name: str) -> Draft:
    """Images in a folder for each class."""
    seen = images_in(found.sampled())
    if not seen.read:
        raise BadData.at(root, f"no image of the {seen.tried} tried could be read, as {seen.first_bad}")
    _check(root, found.counts, "images")
    reading = read_images(seen.side, seen.channels, sum(found.counts.values()))
    source = {"name": "images", "folder": shown, "height": seen.side, "width": seen.side, "channels": seen.channels}
    doubts = [seen.doubt] if seen.doubt else []
    why = f"{seen.shown}, read as {seen.side}x{seen.side}, {'grey' if seen.channels == 1 else 'in colour'}"
    return of_source(
        source, found.counts, sum(found.counts.values()), reading, why, name, (*doubts, *_beside(found.beside))
    )


def texts(root: Path, shown: str, found: Classes, name: str) -> Draft:
    """Texts in a folder for each class, one a file."""
    _check(root, found.counts, "texts")
    contents = [path.read_bytes() for path in found.sampled()]
    encoding = _encoding(contents)
    read = [content.decode(encoding) for content in contents]
    reading = _of_texts(read)
    source = {"name": "text", "mode": "folder", "folder": shown} | _encoded(encoding)
    return of_source(
        source, found.counts, sum(found.counts.values()), reading, _lengths(read), name, _beside(found.beside)
    )


def lines(root: Path, shown: str, found: Classes, name: str) -> Draft:
    """Files of lines, each the texts of one class."""
    contents = {path: path.read_bytes() for path in found.beside if _kind(path) == "texts"}
    encoding = _encoding(list(contents.values()))
    by_class = {
        path.stem: [line for line in lines_of(content.decode(encoding)) if line.strip()]
        for path, content in contents.items()
    }
    counts = {label: len(rows) for label, rows in by_class.items() if rows}
    _check(root, counts, "lines")
    read = [line for rows in by_class.values() for line in rows[:: max(1, -(-len(rows) // LINES))]]
    files = [{"name": f"{shown}/{path.name}"} for path in contents if by_class[path.stem]]
    source = {"name": "text", "files": files} | _encoded(encoding)
    doubt = "a line is a sample, with the class of its file; equal lines may be in train and in test"
    others = [path for path in found.beside if path not in contents]
    return of_source(
        source, counts, sum(counts.values()), _of_texts(read), _lengths(read), name, (doubt, *_beside(others))
    )


def _beside(files: Sequence[Path]) -> tuple[str, ...]:
    if not files:
        return ()
    return (f"{len(files)} files lie beside the classes, as {files[0].name!r}: they are not read, or quarantined",)


def _check(root: Path, counts: Mapping[str, int], what: str) -> None:
    if len(counts) < 2:
        found = f"one class, {next(iter(counts))!r}" if counts else "no class"
        raise BadData.at(root, f"{found}: expected {root.name}/<class>/<file>, with two classes or more")
    if sum(counts.values()) < choices.LEAST_ROWS:
        raise BadData.at(root, f"{sum(counts.values())} {what}: at least {choices.LEAST_ROWS} are needed")


def _encoding(contents: Sequence[bytes]) -> str:
    try:
        for content in contents:
            content.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _encoded(encoding: str) -> dict[str, str]:
    return {"encoding": encoding} if encoding != "utf-8" else {}


def _of_texts(read: Sequence[str]) -> Reading:
    return read_text("text", sorted(len(text.split()) for text in read), sorted(map(len, read)))


def _lengths(read: Sequence[str]) -> str:
    words = sorted(len(text.split()) for text in read)
    return f"texts of {words[len(words) // 2]} words, the longest {words[-1]:,}"

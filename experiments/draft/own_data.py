"""Drafts a recipe for one's own data: a table, a folder of images, or texts."""

from __future__ import annotations

from pathlib import Path

from millstream.experiments.draft import choices, folders, tables
from millstream.experiments.draft.yaml_text import Draft
from millstream.pipelines.samples.tables import format_of, sample
from millstream.tracking.errors import BadData, WrongRecipe


def drafted(path: str, target: str | None = None, to: str | None = None) -> tuple[Path, Draft]:
    """The file of the recipe, written, and the draft.

    Raises BadData for data that cannot be read, WrongRecipe where the target is open or the file exists.
    """
    data = Path(path)
    file = Path(to or choices.recipe_name(_stem(data)))
    if file.suffix not in (".yaml", ".yml"):
        raise WrongRecipe.at("--to", f"{file} is no name of a YAML file; expected my.yaml")
    if file.exists():
        raise WrongRecipe.at(file, "exists already, and stays as it is; name another file by --to")
    if not data.exists():
        raise BadData.at(data, "no such file or folder; give a CSV, JSON lines or Parquet file, or a folder")
    draft = draft_of(data, target)
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(draft.text)
    except FileExistsError:
        raise WrongRecipe.at(file, "exists already, and stays as it is; name another file by --to") from None
    return file, draft


def draft_of(data: Path, target: str | None) -> Draft:
    name = choices.data_name(_stem(data))
    if data.is_dir():
        return _of_folder(data, name, target)
    kind = format_of(data)
    if kind is None:
        raise BadData.at(data, f"{data.suffix or 'no suffix'}: expected .csv, .tsv, .jsonl, .parquet, or a folder")
    return tables.draft(sample(data, kind), [_shown(data)], name, target)


def _of_folder(data: Path, name: str, target: str | None) -> Draft:
    found = folders.classes_of(data)
    kind, shown = folders.kind_of(found), _shown(data)
    if kind == "parquet":
        return tables.draft(sample(data, "parquet"), [shown], name, target)
    drafts = {"images": folders.images, "texts": folders.texts, "lines": folders.lines}
    if kind not in drafts:
        what = f"most of its files are .{kind}" if kind else "no file in it"
        raise BadData.at(data, f"{what}; expected {data.name}/<class>/<image or text>, files of texts, or Parquet")
    if target not in (None, "label"):
        raise WrongRecipe.at(
            "--target", f"{target!r}: the classes of a folder are its subfolders or files; leave it out"
        )
    return drafts[kind](data, shown, found, name)


def _stem(data: Path) -> str:
    name = data.resolve().name
    return name.partition(".")[0] or name


def _shown(data: Path) -> str:
    """The path as a recipe names it: below the current folder, or absolute."""
    whole = data.resolve() if ".." in data.parts else data
    return str(whole)

"""HTML report of a dataset version: self-contained, no script, no requests; data is never executed.

Every value is escaped by the template, plots contain only numbers, and the page's content security policy blocks the
rest.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.inspection import drawings
from millstream.tracking.inspection.examples import label
from millstream.tracking.inspection.figures import ends, figures
from millstream.tracking.inspection.lineage import Row
from millstream.tracking.inspection.look import Look, look_at, plain
from millstream.tracking.inspection.rows import SHORT, Drawer, cut
from millstream.tracking.inspection.statistics import Summary

HERE = Path(__file__).parent
MOST_CLASSES, MOST_FILES, MOST_COLUMNS, MOST_CATEGORIES, MOST_WORDS = 40, 12, 200, 20, 12
LOGGED_BYTES = 256 << 20
MOST_LEARNED = 20_000
"""Maximum characters of a step's learned state in its expandable section."""


def html(look: Look) -> str:
    """The whole page."""
    manifest = look.manifest
    style = (HERE / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    rows = sum(split.rows for split in manifest.splits.values())
    classes, labelled = list(_classes(manifest)), label(manifest)
    drawer = Drawer(look)
    return _template().render(
        style=Markup(style),  # trusted; the policy contains its hash
        style_hash=f"sha256-{digest}",
        manifest=manifest,
        rows=rows,
        size=size(sum(shard.bytes for split in manifest.splits.values() for shard in split.shards)),
        quarantined=sum(manifest.quarantine.values()),
        stacked=drawings.stacked([split.rows / max(1, rows) for split in manifest.splits.values()]),
        label=labelled,
        classes=classes[:MOST_CLASSES],
        more_classes=max(0, len(classes) - MOST_CLASSES),
        gallery=drawer.gallery(),
        channels=drawer.channels,
        columns=[
            _column(column, look.summaries[column.name])
            for column in manifest.columns[:MOST_COLUMNS]
            if not classes or column != labelled  # the class has its own section
        ],
        listed=_listed(look, {column.name for column in drawer.drawn}),
        families=[drawer.family(parent, child) for parent, child in look.families],
        files=[
            {"name": f.name, "size": size(f.bytes), "identity": f.sha256[:12] if f.sha256 else f.tag}
            for f in manifest.source.files[:MOST_FILES]
        ],
        more_files=max(0, len(manifest.source.files) - MOST_FILES),
        steps=[_step(step) for step in manifest.steps],
        aside=_aside(manifest.quarantine),
        basis=_basis(look),
    )


def logged(dataset: Dataset) -> str:
    """The page as logged to runs; large splits are sampled by shard, so that training does not wait for it."""
    return html(look_at(dataset, most_bytes=LOGGED_BYTES))


def write(look: Look, file: Path) -> None:
    """Write the page to a file. Raises WrongRecipe (invalid command) if it cannot be written."""
    try:
        file.write_text(html(look), encoding="utf-8")
    except OSError as error:
        raise WrongRecipe.at(f"--html {file}", f"cannot be written ({error.strerror}); give another file") from None


def size(count: int) -> str:
    """Bytes in a human-readable unit."""
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.3g} {units[0]}" if units[0] != "B" else f"{count} B"


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = lambda value: f"{value:,}"
    return environment.from_string((HERE / "page.html").read_text(encoding="utf-8"))


def _classes(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Classes by descending rows in train, each with its rows in every split."""
    counts = {name: split.class_counts for name, split in manifest.splits.items()}
    train = counts["train"]
    largest = max(train.values(), default=0)
    for name in sorted(train, key=lambda one: -train[one]):
        bar = drawings.bar(train[name] / max(1, largest))
        yield {"name": name, "bar": bar, "counts": [of.get(name, 0) for of in counts.values()]}


def _column(column: Column, summaries: Mapping[str, Summary]) -> dict[str, Any]:
    spreads = {split: summary.spread for split, summary in summaries.items() if summary.spread is not None}
    first = next(iter(summaries.values()))
    most = max(first.frequent.values(), default=0)
    about = [column.role, f"{column.dtype} {column.shape or ''}".strip(), column.meaning, column.unit]
    names = column.role == "key" and first.different == first.rows  # all unique: no frequent values
    shown = MOST_CATEGORIES if first.measured == "values" else MOST_WORDS
    return {
        "column": column,
        "about": " · ".join(summary for summary in about if summary),
        "splits": list(summaries),
        "histogram": drawings.histogram(spreads) if "train" in spreads else None,
        "ends": ends(column, summaries),
        "figures": figures(column, summaries),
        "frequent": [
            (name, n, drawings.bar(n / max(1, most)))
            for name, n in list(first.frequent.items())[: 0 if names else shown]
        ],
        "note": _note(first),
    }


def _listed(look: Look, drawn: set[str]) -> list[Row]:
    """Rows as text, without the columns already drawn; empty if only ids would be left."""
    rows = [plain(row, look.manifest) for row in look.listed()]
    shown = [{name: cut(str(value), SHORT) for name, value in row.items() if name not in drawn} for row in rows]
    return shown if shown and len(shown[0].keys() - {"sample_id"}) > len(drawn) else []


def _note(summary: Summary) -> str:
    notes = []
    if summary.different is not None and summary.different > len(summary.frequent):
        notes.append(f"{summary.different:,} different in train")
    if 0 < summary.counted < summary.rows:
        notes.append(f"words of {summary.counted:,} texts of train")
    if summary.spread and summary.spread.kept < summary.spread.count:
        notes.append(
            f"quartiles and histogram from {summary.spread.kept:,} of {summary.spread.count:,} values of train"
        )
    return "; ".join(notes)


def _step(step: Any) -> dict[str, Any]:
    learned = json.dumps(step.learned, ensure_ascii=False, indent=1) if step.learned else ""
    short = json.dumps(step.learned, ensure_ascii=False)
    facts = {name: getattr(step, name) for name in ("name", "rows_in", "rows_out", "seconds")}
    given = {name: value for name, value in step.config.items() if value not in (None, [], {}, "", False)}
    config = ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in given.items())
    return facts | {"config": config, "learned": learned[:MOST_LEARNED], "learned_short": cut(short, SHORT)}


def _aside(quarantine: Mapping[str, int]) -> list[tuple[str, int, Markup]]:
    most = max(quarantine.values(), default=1)
    return [(reason, n, drawings.bar(n / most)) for reason, n in sorted(quarantine.items(), key=lambda one: -one[1])]


def _basis(look: Look) -> str:
    parts = [
        f"{len(read):,} of {len(look.manifest.splits[split].shards):,} shards of {split}"
        for split, read in look.read.items()
        if len(read) < len(look.manifest.splits[split].shards)
    ]
    return f"Figures are from {', '.join(parts)}." if parts else "Figures are from all rows."

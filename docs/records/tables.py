"""Records as cells and tables of Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, Protocol

from schema import BadInput, Benchmark, Fault, Figure, Mended, R, Record, Reference, Run, Security, Study, read

SIGNS = {">=": "≥", "<=": "≤"}
# metrics that are written otherwise than they are logged
NAMES = {
    "ap": "AP",
    "auc": "AUC",
    "iou": "IoU",
    "log_likelihood": "log-likelihood",
    "macro_f1": "macro-F1",
    "mae": "MAE",
    "nll": "negative log-likelihood",
    "psnr_y": "Y-PSNR",
    "rmse": "RMSE",
    "ssim": "SSIM",
}


def grid(header: Sequence[str], rows: Iterable[Sequence[str | None]]) -> str:
    """A table of Markdown without its empty columns."""
    cells = [[(cell or "").replace("|", "\\|") for cell in row] for row in rows]
    kept = [at for at in range(len(header)) if any(row[at] for row in cells)]
    lines = [[header[at] for at in kept], ["---"] * len(kept), *([row[at] for at in kept] for row in cells)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:.6g}"


def amount(figure: Figure) -> str:
    """`0.57 (0.55 to 0.6)`, `488 ± 54`, `3.9 MW`."""
    span = (
        f"{number(figure.low)} to {number(figure.high)}" if figure.low is not None and figure.high is not None else ""
    )
    text = span if figure.value is None else number(figure.value)
    if figure.deviation is not None:
        text += f" ± {number(figure.deviation)}"
    if figure.unit:
        text += f" {figure.unit}"
    return f"{text} ({span})" if span and figure.value is not None else text


def metric(name: str) -> str:
    """The name of a metric; the split is left out where it is test."""
    split, _, last = name.rpartition("/")
    if "`" in name or split not in ("", "test", "train", "valid", "network"):
        return name
    written = NAMES.get(last) or last.replace("_", " ")
    return written if split in ("", "test", "network") else f"{written} on {split}"


def sign(target: str) -> str:
    for plain, symbol in SIGNS.items():
        target = target.replace(plain, symbol)
    return target


def measured(record: Run | Benchmark, with_targets: bool = True) -> str:
    texts = [
        f"{metric(figure.name)} {amount(figure)}"
        + (f" ({sign(figure.target)})" if with_targets and figure.target else "")
        for figure in record.measured
    ]
    how = record.how if isinstance(record, Run) else None
    return "; ".join([*texts, *([how] if how else [])])


def targets(run: Run) -> str:
    return "; ".join(f"{metric(figure.name)} {sign(figure.target)}" for figure in run.measured if figure.target)


def references(record: Run | Benchmark) -> str:
    """One source after the other, each with its figures."""
    sources = list(dict.fromkeys(it.source for it in record.references))
    return "; ".join(reference([it for it in record.references if it.source == source]) for source in sources)


def reference(of_one_source: Sequence[Reference]) -> str:
    figures = [f"{metric(it.name)} {amount(it)}" + (f" ({it.note})" if it.note else "") for it in of_one_source]
    return f"{of_one_source[0].source}: {', '.join(figures)}"


def made(record: Record) -> str:
    """Commit, machine and load, as far as they were written down."""
    return ", ".join(part for part in (record.commit, record.machine, record.load) if part)


def seeds(record: Record) -> str:
    return ", ".join(map(str, record.seeds))


def code(text: str | None) -> str:
    return f"`{text}`" if text else ""


def tests(record: Fault | BadInput | Security | Mended) -> str:
    return ", ".join(f"`{path.removeprefix('tests/')}`" for path in record.tests)


def minutes(record: Run) -> str:
    return "" if record.minutes is None else number(record.minutes)


class Section(Protocol):
    def render(self) -> list[str]: ...


@dataclass(frozen=True)
class Table(Generic[R]):
    """One table of all records of a kind, or one for each group."""

    title: str
    about: str
    kind: str
    model: type[R]
    columns: dict[str, Callable[[R], str | None]]
    group: Callable[[R], str] | None = None

    def render(self) -> list[str]:
        records = read(self.kind, self.model)
        parts = [f"## {self.title}", *([self.about] if self.about else [])]
        if self.group is None:
            return [*parts, self._grid(records)]
        for name, members in groupby(sorted(records, key=self.group), self.group):
            parts += [f"### {name}", self._grid(list(members))]
        return parts

    def _grid(self, records: list[R]) -> str:
        return grid(list(self.columns), ([cell(it) for cell in self.columns.values()] for it in records))


@dataclass(frozen=True)
class Studies:
    """A table for each study, with a row for each variant."""

    title: str
    about: str
    kind: str

    def render(self) -> list[str]:
        parts = [f"## {self.title}", self.about]
        for study in read(self.kind, Study):
            names = list(dict.fromkeys(figure.name for row in study.rows for figure in row.figures))
            rows = []
            for row in study.rows:
                cells = {figure.name: amount(figure) for figure in row.figures}
                rows.append([row.variant, *(cells.get(name) for name in names)])
            took = [f"{number(study.minutes)} minutes"] if study.minutes else []
            facts = [
                code(study.command),
                *([f"seed{'s' * (len(study.seeds) > 1)} {seeds(study)}"] if study.seeds else []),
                *took,
                made(study),
            ]
            parts += [
                f"### {study.study}",
                f"{study.about}. {'; '.join(facts)}.",
                grid(["", *map(metric, names)], rows),
            ]
            parts += (
                ["\n\n".join(text for text in (study.conclusion, study.note) if text)]
                if study.conclusion or study.note
                else []
            )
        return parts

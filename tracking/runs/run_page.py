"""Markdown description of a finished run, which MLflow shows at the top of its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.runs.champion import Decision
from millstream.tracking.runs.table import Table

MOST_CLASSES, MOST_METRICS = 12, 8
_SPECIAL = str.maketrans({one: f"\\{one}" for one in "\\`*_{}[]<>#|!"})


@dataclass(frozen=True)
class Page:
    """What a reader wants to know of a run: which data, which model, how good, against what."""

    recipe: str
    about: str
    budget: str
    seed: int
    command: str
    """The command that repeats it."""
    metrics: Mapping[str, float]
    """Those of the split, without its name, the most important one first."""
    marks: Mapping[str, str]
    missed: tuple[str, ...]
    """Metrics whose pass mark was not reached."""
    split: str = "test"
    environment: str = ""
    """Name and fields of the environment, for a model that was not trained on a dataset."""
    manifest: Manifest | None = None
    baseline: str = ""
    baseline_metrics: Mapping[str, float] = field(default_factory=dict)
    model_uri: str = ""
    decision: Decision | None = None
    classes: Table | None = None
    """Results by class, the worst ones first."""
    hardest: tuple[str, ...] = ()
    """Artifacts with the rows of the largest loss."""

    def markdown(self) -> str:
        # MLflow shows the first lines alone, until a reader opens the rest
        parts = [
            self._head(),
            self._result(),
            self._figures(),
            self._champion(),
            *self._data(),
            *self._rows(),
            self._repeat(),
        ]
        return "\n\n".join(part for part in parts if part)

    def _head(self) -> str:
        head = f"**{escaped(self.recipe)}**, budget {self.budget}, seed {self.seed}: {escaped(self.about)}"
        if self.manifest is None:
            return head
        rows = ", ".join(f"{split} {facts.rows:,}" for split, facts in self.manifest.splits.items())
        return f"{head}\n\nData: {escaped(f'{self.manifest.name}/{self.manifest.version}')}, rows {rows}"

    def _result(self) -> str:
        if not self.marks:
            return "The recipe has no pass mark."
        each = [
            f"{escaped(name)} {self._value(name)}, pass mark {escaped(mark)}: {self._verdict(name)}"
            for name, mark in self.marks.items()
        ]
        return "\n".join(f"- {one}" for one in each)

    def _against(self, mark: str) -> str:
        """Values of the baseline and the champion, for comparison."""
        metric, decision = mark.removeprefix("test/"), self.decision
        found = {"baseline": self.baseline_metrics.get(metric)}
        if decision and decision.metric == mark:
            found["champion"] = decision.champion_value
        return "".join(f"; {name} {value:.5g}" for name, value in found.items() if value is not None)

    def _verdict(self, mark: str) -> str:
        return ("**missed**" if mark in self.missed else "**reached**") + self._against(mark)

    def _value(self, name: str) -> str:
        found = self.metrics.get(name.removeprefix("test/"))
        return "not measured" if found is None else f"{found:.5g}"

    def _figures(self) -> str:
        """Table of the test metrics: this model, the baseline, the champion that it was compared with."""
        shown = list(self.metrics)[:MOST_METRICS]
        if not shown:
            return ""
        rows = {"this model": self.metrics}
        if self.baseline:
            rows[f"baseline: {self.baseline}"] = self.baseline_metrics
        if self.decision and self.decision.champion and self.decision.champion_value is not None:
            metric = self.decision.metric.removeprefix("test/")
            rows[f"champion: version {self.decision.champion}"] = {metric: self.decision.champion_value}
        return table(
            [f"on the {self.split} split", *shown],
            [[name, *(f"{row[one]:.5g}" if one in row else "" for one in shown)] for name, row in rows.items()],
        )

    def _champion(self) -> str:
        if not self.decision:
            return f"Model: {escaped(self.model_uri)}" if self.model_uri else ""
        state = "champion" if self.decision.promoted else "not champion"
        return f"Model: {escaped(self.model_uri)}, **{state}** when it was registered: {escaped(self.decision.why)}."

    def _data(self) -> Iterator[str]:
        if self.manifest is None:
            if self.environment:
                yield f"Environment: {escaped(self.environment)}"
            return
        source = self.manifest.source
        yield f"Source of the data: {escaped(source.origin)}"
        splits = self.manifest.splits
        names = list(next(iter(splits.values())).class_counts)[:MOST_CLASSES]
        rows = [
            [split, f"{facts.rows:,}", *(f"{facts.class_counts.get(name, 0):,}" for name in names)]
            for split, facts in splits.items()
        ]
        yield table(["split", "rows", *names], rows)
        more = len(next(iter(splits.values())).class_counts) - len(names)
        if more:
            yield f"and {more} more classes"

    def _rows(self) -> Iterator[str]:
        if self.classes:
            shown = self.classes.rows[:MOST_CLASSES]
            yield table(list(self.classes.columns), [[str(value) for value in row] for row in shown])
        if self.hardest:
            yield f"Rows of the {self.split} split with the largest loss: {', '.join(self.hardest)}"

    def _repeat(self) -> str:
        return f"To repeat it:\n\n    {self.command}"


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        f"| {' | '.join(cell if at == 1 else escaped(cell) for cell in line)} |" for at, line in enumerate(lines)
    )


def escaped(text: str) -> str:
    """The text in one line, without effect as Markdown or HTML: names of classes and recipes are anybody's."""
    return " ".join(text.split()).translate(_SPECIAL)

"""Plan of a `rebalance` step for the classes of the train split, computed beforehand and kept in the manifest.

Preparation executes the plan; the task reads from it how the class priors were shifted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

if TYPE_CHECKING:  # the manifest module imports this one
    from millstream.tracking.dataset.records import Step

SHIFTED = "scores are calibrated to these shares; `prior: corrected` of the task classify brings them back"


class Plan(BaseModel, frozen=True, extra="forbid"):
    """Classes are keyed by name, in order."""

    column: str = Field(description="class column")
    method: str
    before: dict[str, int] = Field(description="rows per class in the train split")
    after: dict[str, int] = Field(description="rows per class after rebalancing")
    weights: dict[str, float] | None = Field(None, description="loss weight of a row, per class")
    deviations: dict[str, float] | None = Field(
        None,
        description="method augment: standard deviations of the numeric columns of train, the unit of the op noise",
    )

    @property
    def given(self) -> dict[str, float]:
        """Share of each class in the rows before rebalancing."""
        return _shares({name: float(count) for name, count in self.before.items()})

    @property
    def trained(self) -> dict[str, float]:
        """Share of each class that the model trains on, by rows or by weight."""
        weights = self.weights or dict.fromkeys(self.after, 1.0)
        return _shares({name: count * weights[name] for name, count in self.after.items()})

    def lines(self) -> list[str]:
        """Table for the terminal."""
        head = (self.column, "rows", "after", "made", "left out", "weight", "share", "after")
        rows = [head, *(self._row(name) for name in self.before)]
        widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
        table = [
            "  ".join(
                [row[0].ljust(widths[0]), *(cell.rjust(wide) for cell, wide in zip(row[1:], widths[1:], strict=True))]
            )
            for row in rows
        ]
        return [f"{self.method} of train rows, planned:", *table, *([SHIFTED] if self.given != self.trained else [])]

    def _row(self, name: str) -> tuple[str, ...]:
        before, after = self.before[name], self.after[name]
        weight = f"{self.weights[name]:.4g}" if self.weights else "1"
        counts = (f"{count:,}" for count in (before, after, max(0, after - before), max(0, before - after)))
        return (name, *counts, weight, f"{self.given[name]:.2%}", f"{self.trained[name]:.2%}")


def plans(steps: Iterable[Step]) -> list[Plan]:
    """Plans of all `rebalance` steps, in order."""
    return [Plan.model_validate(step.learned) for step in steps if step.name == "rebalance" and step.learned]


def _shares(parts: dict[str, float]) -> dict[str, float]:
    total = sum(parts.values())
    return {name: part / total for name, part in parts.items()}

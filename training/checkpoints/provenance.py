"""Provenance of a checkpoint: its recipe and dataset version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millstream.tracking.errors import Fault, WrongRecipe
from millstream.tracking.recipe.schema import Located

KEY = "provenance"
FREE = ("memory", "engine", "checkpoint_every", "keep_last", "nan", "accumulate", "epochs")
"""Fields of `fit` that may differ between stop and resume: they change neither the batches nor the steps.

Another `accumulate` yields the same gradient up to rounding (batch norms and dropout see the micro-batches): so a run
that ran out of memory can be resumed. More `epochs` stretch what is a fraction of them; see `_is_steady`.
"""


@dataclass(frozen=True)
class Provenance:
    """Facts that must be equal in a checkpoint and the run that resumes from it."""

    file: Path
    facts: dict[str, Any]

    @classmethod
    def of(cls, located: Located, source: Mapping[str, str]) -> Provenance:
        """Provenance of a recipe and the identity of its dataset or environment."""
        return cls(located.file, {**_comparable(located.resolved()), **source})

    def check(self, before: dict[str, Any]) -> None:
        """Raises WrongRecipe with every difference between this run and the facts in a checkpoint."""
        differing = sorted(
            name for name in before.keys() | self.facts.keys() if before.get(name) != self.facts.get(name)
        )
        WrongRecipe.unless_empty(
            Fault(
                where=str(self.file),
                message=f"{name}: {self.facts.get(name)!r}, and {before.get(name)!r} in the run to be resumed; "
                "put it back, or train with --fresh",
            )
            for name in differing
        )


def _comparable(resolved: dict[str, Any]) -> dict[str, Any]:
    found = {section: resolved.get(section) for section in ("data", "environment", "task", "network")}
    fit = dict(resolved.get("fit", {}))
    free = {name for name in FREE if name != "epochs" or _is_steady(fit)}
    return found | {f"fit.{name}": value for name, value in fit.items() if name not in free}


def _is_steady(fit: dict[str, Any]) -> bool:
    """Whether nothing in a fit section is a fraction of the epochs."""
    names = [(fit.get(section) or {}).get("name") for section in ("schedule", "average")]
    return names[0] in (None, "constant", "plateau") and names[1] != "swa" and not fit.get("warm_up")

"""A small table, logged to a run in the form that MLflow's UI shows as a table."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

LOGGED = "mlflow.loggedArtifacts"
"""Tag by which MLflow recognizes artifacts that are tables."""


class Table(NamedTuple):
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    """Values of JSON; numbers that are not finite are shown as text."""

    def json(self) -> str:
        """The table as pandas writes it with `orient="split"`, which `mlflow.load_table` reads."""
        return json.dumps(
            {"columns": self.columns, "data": [[_plain(value) for value in row] for row in self.rows]},
            ensure_ascii=False,
        )


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value

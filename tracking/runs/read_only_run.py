"""Read-only view of a run for ranks other than 0; rank 0 writes for all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from millstream.tracking.runs.run import Run
from millstream.tracking.settings import Settings


@dataclass(frozen=True)
class Follower:
    """Has the run's ID and checkpoint folder; logging methods do nothing."""

    id: str
    folder: Path
    resumed: bool

    @classmethod
    def of(cls, description: str, settings: Settings) -> Self:
        """The run described by `described`."""
        facts = json.loads(description)
        return cls(facts["id"], settings.checkpoints / facts["id"], facts["resumed"])

    def metrics(self, values: Any, step: int = 0) -> None:
        pass

    def tag(self, **tags: str) -> None:
        pass

    def dataset(self, manifest: Any, folder: Any) -> None:
        pass

    def figure(self, name: str, figure: Any) -> None:
        pass

    def table(self, name: str, table: Any) -> None:
        pass

    def content(self, name: str, content: bytes) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def described(run: Run) -> str:
    """The run as JSON, broadcast by rank 0."""
    return json.dumps({"id": run.id, "resumed": run.resumed})

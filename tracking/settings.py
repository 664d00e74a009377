"""Where things are kept on this machine: read from the environment once, at the front door."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

LOOPBACK = "127.0.0.1"


class Settings(BaseModel, frozen=True, extra="forbid"):
    """Folders and addresses; `store` may be a URL of a Hadoop file system."""

    home: Path
    store: str
    mirror: Path | None
    tracking_uri: str

    @property
    def checkpoints(self) -> Path:
        return self.home / "checkpoints"

    @property
    def spool(self) -> Path:
        """Metrics on their way to the tracking store."""
        return self.home / "spool"

    @property
    def downloads(self) -> Path:
        """Origin files that were fetched and whose hash was right."""
        return self.home / "downloads"

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """What `MILLSTREAM_HOME`, `_STORE`, `_MIRROR` and `MLFLOW_TRACKING_URI` name; a blank counts as unset."""
        home = Path(environment.get("MILLSTREAM_HOME") or ".millstream").expanduser().absolute()
        mirror = environment.get("MILLSTREAM_MIRROR")
        return cls(
            home=home,
            store=environment.get("MILLSTREAM_STORE") or str(home / "datasets"),
            mirror=Path(mirror).expanduser().absolute() if mirror else None,
            tracking_uri=environment.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'tracking.db'}",
        )

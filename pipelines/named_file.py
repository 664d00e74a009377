"""How a recipe names a file."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from pipelines.table import OriginFile

SplitName = Literal["train", "valid", "test"]


class NamedFile(BaseModel, frozen=True, extra="forbid"):
    name: str = Field(description="`<data set>/<file>` in the mirror, a path, or a URL: s3://, hdfs://, ...")
    sha256: str | None = Field(None, description="of its bytes (of `.gz` the unpacked ones); needed for a url")
    url: str | None = Field(None, description="where it is fetched when it is nowhere on this machine")

    @property
    def origin(self) -> OriginFile:
        return OriginFile(self.name, self.url, self.sha256)


class SplitFile(NamedFile, frozen=True, extra="forbid"):
    split: SplitName | None = Field(None, description="the split of all of its rows")

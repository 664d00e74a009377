"""How a recipe names a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Literal

from pydantic import BaseModel, Field

from millstream.pipelines.table import OriginFile

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


def called(file: NamedFile, files: Iterable[NamedFile], part: Literal["name", "stem"] = "name") -> str:
    """A file in the ids of its rows: its name or stem, or all of its name where another of `files` has the same."""
    return called_each([file, *files], part)[file.name]


def called_each(files: Iterable[NamedFile], part: Literal["name", "stem"] = "name") -> dict[str, str]:
    """What `called` says of each of the files, by their names."""
    short: dict[str, str] = {file.name: getattr(PurePosixPath(file.name), part) for file in files}
    uses = Counter(word for name, one in short.items() for word in {name, one})
    return {name: one if uses[one] == 1 else name for name, one in short.items()}

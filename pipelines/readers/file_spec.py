"""File specification in a recipe."""

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
    sha256: str | None = Field(
        None, description="SHA-256 of its bytes (for `.gz` of the uncompressed ones); required with a url"
    )
    url: str | None = Field(None, description="download address, used when the file is not on this machine")

    @property
    def origin(self) -> OriginFile:
        return OriginFile(self.name, self.url, self.sha256)


class SplitFile(NamedFile, frozen=True, extra="forbid"):
    split: SplitName | None = Field(None, description="split of all rows of the file")


def called(file: NamedFile, files: Iterable[NamedFile], part: Literal["name", "stem"] = "name") -> str:
    """Name of a file in row ids: its base name or stem, or its full name if that is not unique among `files`."""
    return called_each([file, *files], part)[file.name]


def called_each(files: Iterable[NamedFile], part: Literal["name", "stem"] = "name") -> dict[str, str]:
    """`called` for each of the files, by their full names."""
    short: dict[str, str] = {file.name: getattr(PurePosixPath(file.name), part) for file in files}
    uses = Counter(word for name, one in short.items() for word in {name, one})
    return {name: one if uses[one] == 1 else name for name, one in short.items()}

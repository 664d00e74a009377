"""Remote file systems without Spark, through fsspec.

`Remote` implements the part of `Path` that dataset readers use; `place` returns one of the two for a path or URL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from millstream.tracking.errors import BadEnvironment, Refusal

S3 = "s3"
_NEEDS = {S3: "install the extra `s3` (s3fs)"}
_OPTIONS: dict[str, dict[str, Any]] = {S3: {"config_kwargs": {"connect_timeout": 5, "retries": {"max_attempts": 3}}}}


@dataclass(frozen=True)
class Remote:
    """A file or folder behind a URL. Methods raise BadEnvironment if the server does not answer."""

    url: str

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.url}/{name}")

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def scheme(self) -> str:
        return self.url.partition("://")[0]

    @property
    def system(self) -> Any:
        """The fsspec file system, without listing cache, since other processes write too."""
        import fsspec

        with answering(self.url):
            try:
                found, _ = fsspec.core.url_to_fs(self.url, use_listings_cache=False, **_OPTIONS.get(self.scheme, {}))
                return found
            except (ImportError, ValueError) as error:
                would = _NEEDS.get(self.scheme, "fsspec needs a library for it, or use a store that it knows")
                raise BadEnvironment.at(self.url, f"cannot be opened ({error}); {would}") from None

    def read_bytes(self) -> bytes:
        """Raises FileNotFoundError if it does not exist."""
        with answering(self.url):
            return bytes(self.system.cat_file(self.url))

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def is_file(self) -> bool:
        with answering(self.url):
            return bool(self.system.isfile(self.url))

    def is_dir(self) -> bool:
        with answering(self.url):
            return bool(self.system.isdir(self.url))

    def iterdir(self) -> Iterator[Remote]:
        """Raises FileNotFoundError if it does not exist."""
        with answering(self.url):
            paths = self.system.ls(self.url, detail=False)
        for name in sorted({path.rstrip("/").rpartition("/")[2] for path in paths}):
            yield self / name

    def files(self) -> dict[str, dict[str, Any]]:
        """fsspec's metadata of each file below, by relative path; empty if there is nothing."""
        with answering(self.url):
            system = self.system
            root = system._strip_protocol(self.url).rstrip("/") + "/"
            return {path.removeprefix(root): facts for path, facts in system.find(self.url, detail=True).items()}


Place = Path | Remote


def place(where: str | Place) -> Place:
    """The path or URL as `Path` or `Remote`: `file:` is a path, and `s3a:` an alias of `s3:`.

    Raises BadEnvironment for a URL with a password in it.
    """
    if not isinstance(where, str) or "://" not in where:
        return Path(where) if isinstance(where, str) else where
    parts = urlsplit(where)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    if parts.password is not None:
        shown = where.replace(f":{parts.password}@", ":***@")
        raise BadEnvironment.at(shown, "holds a password; give it in the environment, as AWS_SECRET_ACCESS_KEY")
    scheme = S3 if parts.scheme in ("s3a", "s3n") else parts.scheme
    return Remote(f"{scheme}://{where.partition('://')[2].rstrip('/')}")


def files_below(folder: Place) -> list[str]:
    """Relative paths of all files below a folder, sorted."""
    if isinstance(folder, Remote):
        return sorted(folder.files())
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@contextmanager
def answering(url: str) -> Iterator[None]:
    """Converts any error of a file system library to BadEnvironment, except existing or missing files."""
    try:
        yield
    except (FileNotFoundError, FileExistsError, Refusal):
        raise
    except Exception as error:  # each library has its own errors
        problem = (str(error).splitlines() or [type(error).__name__])[0]
        would = "is it the right address, and are the AWS_* set?" if url.startswith(S3) else "is it the right address?"
        raise BadEnvironment.at(url, f"does not answer as it should ({problem}); {would}") from error

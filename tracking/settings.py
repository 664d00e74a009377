"""Configuration of this machine (folders and addresses), read from the environment once, by the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import unquote

from pydantic import BaseModel

from millstream.tracking.dataset.filesystems import S3, Remote, place
from millstream.tracking.dataset.shard_cache import LIMIT, Cache
from millstream.tracking.errors import BadEnvironment, WrongRecipe
from millstream.tracking.host import file_access
from millstream.tracking.host.disk_full import is_full

SQLITE = "sqlite:///"
LOOPBACK = "127.0.0.1"
CACHE_GIB = 10
ARCHIVE = "MILLSTREAM_CLASS_ARCHIVE"
Archiving = Literal["auto", "now", "off"]
SMALL = "MILLSTREAM_SMALL_MIB"
SMALL_MIB = 64
CHECKPOINTS = "MILLSTREAM_CHECKPOINTS"
LEASE = "MILLSTREAM_LEASE_S"
LEASE_S = 60
LONGEST_LEASE_S = 3600


class Settings(BaseModel, frozen=True, extra="forbid"):
    """Folders and addresses; `store` may be a URL of S3 or of a Hadoop file system."""

    home: Path
    store: str
    cache_gib: float
    mirror: Path | None
    tracking_uri: str
    check_models: bool = True
    """Whether a model is loaded from its own code before it is registered."""
    user_cache: Path | None = None
    """The user's cache folder, outside home."""
    class_archive: Archiving = "auto"
    """Whether Java starts from an archive of classes; `now`: the next job makes a missing one."""
    small_mib: float = SMALL_MIB
    """Size of raw data up to which a job counts as small."""
    checkpoint_place: str = ""
    """A folder or a URL of S3 in place of the folder under home."""
    lease_s: float = LEASE_S
    """Seconds without a renewal after which another host may take over a run."""

    @property
    def checkpoints(self) -> Path:
        """The folder in which a run saves its state on this host."""
        given = self.checkpoint_place
        return Path(given) if given and not isinstance(place(given), Remote) else self.home / "checkpoints"

    def checkpoint_copies(self, run_id: str) -> Remote | None:
        """Where the state of a run is uploaded for other hosts; None without such a place."""
        given = place(self.checkpoint_place) if self.checkpoint_place else None
        return given / run_id if isinstance(given, Remote) else None

    @property
    def spool(self) -> Path:
        """Metrics that are not yet in the tracking store."""
        return self.home / "spool"

    @property
    def downloads(self) -> Path:
        """Downloaded source files with a verified hash."""
        return self.home / "downloads"

    @property
    def cache(self) -> Cache:
        """Cached shards of remote datasets."""
        return Cache(self.home / "cache", int(self.cache_gib * (1 << 30)))

    def with_home(self) -> Settings:
        """The same settings, after `home` was created if needed. Raises BadEnvironment."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if is_full(error):
                raise
            if refused := file_access.refusal(error, None):
                raise refused from None
            message = f"cannot be made a folder ({error.strerror}: {error.filename})"
            raise BadEnvironment.at(self.home, f"{message}; set MILLSTREAM_HOME to a folder of yours") from None
        return self

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Settings from `MILLSTREAM_HOME`, `_STORE`, `_CHECKPOINTS`, `_CACHE_GIB`, `_MIRROR`, `_CHECK_MODELS`,
        `_LEASE_S` and `MLFLOW_TRACKING_URI`; blank is unset.

        Raises WrongRecipe for an invalid size or time, a `~` of an unknown user, checkpoints at a URL that is not
        S3, or anything but yes and no.
        """
        home = _folder("MILLSTREAM_HOME", environment.get("MILLSTREAM_HOME") or ".millstream")
        mirror = environment.get("MILLSTREAM_MIRROR")
        archive = environment.get(ARCHIVE) or "auto"
        if archive not in get_args(Archiving):
            raise WrongRecipe.at(ARCHIVE, f"{archive!r} is none of {', '.join(get_args(Archiving))}")
        return cls(
            home=home,
            store=environment.get("MILLSTREAM_STORE") or str(home / "datasets"),
            cache_gib=_gib(environment.get(LIMIT) or str(CACHE_GIB)),
            mirror=_folder("MILLSTREAM_MIRROR", mirror) if mirror else None,
            tracking_uri=environment.get("MLFLOW_TRACKING_URI") or _sqlite(home / "tracking.db"),
            check_models=_is_yes("MILLSTREAM_CHECK_MODELS", environment.get("MILLSTREAM_CHECK_MODELS") or "yes"),
            user_cache=_user_cache(environment),
            class_archive=archive,
            small_mib=_mib(environment.get(SMALL) or str(SMALL_MIB)),
            checkpoint_place=_checkpoint_place(environment.get(CHECKPOINTS) or ""),
            lease_s=_lease_s(environment.get(LEASE) or str(LEASE_S)),
        )


def sqlite_file(tracking_uri: str) -> Path | None:
    """The file of a SQLite store; None for other stores."""
    address = tracking_uri.partition("?")[0]
    return Path(unquote(address.removeprefix(SQLITE))).absolute() if address.startswith(SQLITE) else None


def _sqlite(file: Path) -> str:
    """URL of a SQLite store, escaped: a question mark would start the query."""
    return f"{SQLITE}{str(file).replace('%', '%25').replace('?', '%3F')}"


def _folder(name: str, path: str) -> Path:
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise WrongRecipe.at(name, f"{path}: nobody's home is known by that; give the whole path") from None


def _checkpoint_place(text: str) -> str:
    if not text:
        return ""
    found = place(text)
    if isinstance(found, Remote) and found.scheme != S3:
        raise WrongRecipe.at(CHECKPOINTS, f"{text}: expected a folder, or s3://bucket/prefix")
    return str(found) if isinstance(found, Remote) else str(_folder(CHECKPOINTS, str(found)))


def _is_yes(name: str, text: str) -> bool:
    if text not in ("yes", "no"):
        raise WrongRecipe.at(name, f"{text!r}; expected yes or no")
    return text == "yes"


def _user_cache(environment: Mapping[str, str]) -> Path | None:
    """As the XDG Base Directory Specification has it; relative paths count as unset."""
    for name, below in (("XDG_CACHE_HOME", ""), ("HOME", ".cache")):
        folder = Path(environment.get(name, ""))
        if folder.is_absolute():
            return folder / below
    return None


def _mib(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        raise WrongRecipe.at(SMALL, f"{text!r} is no size; give a number of MiB, such as {SMALL_MIB}, or 0 for none")
    return found


def _lease_s(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= LONGEST_LEASE_S:
        raise WrongRecipe.at(LEASE, f"{text!r}: expected seconds from 1 to {LONGEST_LEASE_S}, such as {LEASE_S}")
    return seconds


def _gib(text: str) -> float:
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size < float("inf"):
        raise WrongRecipe.at(LIMIT, f"{text!r} is no size; give a number of GiB, such as {CACHE_GIB}")
    return size

"""Schema of a dataset version: its `manifest.json`, and the signature that networks are built from.

`<store>/<name>/<version>/` holds `split=<split>/part-*.parquet`, `quarantine/` and `manifest.json`, written last.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError

from millstream.tracking.dataset.class_balance import plans
from millstream.tracking.dataset.filesystems import Place
from millstream.tracking.dataset.records import Column, Record, Step
from millstream.tracking.dataset.signature import Shares, Signature, field_of
from millstream.tracking.dataset.windows import SERIES, Windows
from millstream.tracking.errors import BadData

FORMAT = 1
FILE = "manifest.json"
SPLITS = ("train", "valid", "test")
LINEAGE = ("sample_id", "parent_id", "op")
ASIDE = "quarantine"
ASIDE_FILE = re.compile(rf"{ASIDE}/part-\d{{5,}}(-[0-9a-f]+)?\.parquet")
_SHARD_FILE = re.compile(rf"split=({'|'.join(SPLITS)})/part-\d{{5,}}(-[0-9a-f]+)?\.parquet")


class File(Record):
    name: str
    sha256: str | None = Field(description="of its bytes; null where what its store vouches for identifies it")
    bytes: int
    tag: str | None = Field(None, description="what the store vouches for: `etag:...` or `modified:...`")


class Source(Record):
    name: str
    config: dict[str, Any]
    licence: str
    origin: str
    files: tuple[File, ...]
    identity: Literal["content", "store"] | None = Field(
        None, description="what identifies the files that were read where they lie; null if there are none"
    )


class Shard(Record):
    file: str = Field(description="path below the version's folder")
    rows: int
    bytes: int
    sha256: str
    row_groups: int


def _in_its_split(shard: Shard) -> Shard:
    """Listed files are read, so no path may leave the version's folder."""
    if not _SHARD_FILE.fullmatch(shard.file):
        raise ValueError(f"{shard.file!r} is no file of a split: expected {_SHARD_FILE.pattern}")
    return shard


def _quarantine_file(shard: Shard) -> Shard:
    if not ASIDE_FILE.fullmatch(shard.file):
        raise ValueError(f"{shard.file!r} is no file of quarantined rows: expected {ASIDE_FILE.pattern}")
    return shard


class Split(Record):
    rows: int
    class_counts: dict[str, int]
    digest: str = Field(
        description="sum of row hashes mod 2**128, 32 hex digits: identifies the content in any row order"
    )
    shards: tuple[Annotated[Shard, AfterValidator(_in_its_split)], ...]


class Check(Record):
    name: str
    ok: bool
    figures: dict[str, Any]


class Manifest(Record):
    """Metadata of a dataset version."""

    format: int = FORMAT
    name: str
    version: str
    seed: int
    created: str = Field(description="UTC, ISO 8601")
    source: Source
    steps: tuple[Step, ...]
    columns: tuple[Column, ...]
    splits: dict[str, Split]
    checks: tuple[Check, ...]
    quarantine: dict[str, int] = Field(description="quarantined rows, by reason")
    parents: tuple[str, ...] = Field((), description="dataset versions that this version was derived from")
    put_aside: tuple[Annotated[Shard, AfterValidator(_quarantine_file)], ...] = Field(
        (), description="files of the quarantined rows; empty if there are none, or in older manifests"
    )

    def column(self, name: str) -> Column:
        """Raises BadData if the dataset has no such column."""
        for column in self.columns:
            if column.name == name:
                return column
        raise BadData.at(f"{self.name}/{self.version}", f"no column {name!r}; it has {[c.name for c in self.columns]}")

    def signature(self, *targets: str) -> Signature:
        """The signature for a task with the target columns `targets`; inputs only if there are none.

        Other columns with the role `target` are not inputs. The only target of windows is `series`: the first steps are
        the input, the last ones the target. Raises BadData for an unknown target, or a text one.
        """
        where = f"{self.name}/{self.version}"
        for target in targets:
            if self.column(target).dtype == "string":
                would = f"put `- encode: {{columns: [{target}]}}` after the split, and prepare again"
                raise BadData.at(where, f"target {target!r} is text, which no network predicts; {would}")
        windows = Windows.of(self.steps)
        if windows is None:
            return self._shared(Signature.of(self.columns, targets))
        whole = Signature.of(self.columns)
        inputs = tuple(windows.cut(field, windows.look_back) for field in whole.inputs)
        if not targets:
            return whole.model_copy(update={"inputs": inputs})
        if targets != (SERIES,) or not windows.horizon:
            predicted = f"windows predict {windows.horizon} steps of {SERIES!r}, and nothing else"
            raise BadData.at(where, f"target {', '.join(map(repr, targets))}: {predicted}")
        horizon = windows.cut(field_of(self.column(SERIES)), windows.horizon)
        return whole.model_copy(update={"inputs": inputs, "targets": (horizon,)})

    def _shared(self, signature: Signature) -> Signature:
        """The signature with the class shares, if rebalancing has changed them.

        The share of a class without rows is 0; classes unknown to the target are listed as `strangers`.
        """
        if signature.target is None or not signature.classes:
            return signature
        done = [plan for plan in plans(self.steps) if plan.column == signature.target.name]
        if not done:
            return signature
        given, trained = (
            tuple(part.get(name, 0.0) for name in signature.classes) for part in (done[0].given, done[-1].trained)
        )
        strangers = tuple(name for name in {**done[0].before, **done[-1].before} if name not in signature.classes)
        return signature.model_copy(update={"shares": Shares(given=given, trained=trained, strangers=strangers)})

    def text(self) -> str:
        """JSON whose first member, `sha256`, is the hash of the rest, so that corruption is detected."""
        body = self.model_dump(mode="json")
        if not self.put_aside:  # keeps the bytes of manifests older than this field
            del body["put_aside"]
        source = body["source"]
        if source["identity"] is None:
            del source["identity"]
        for file in source["files"]:
            if file["tag"] is None:
                del file["tag"]
        for step in body["steps"]:
            if step["served"] is None:
                del step["served"]
        return json.dumps({"sha256": _digest(body), **body}, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def parse(cls, text: str, where: object) -> Self:
        """Raises BadData if the text is not a manifest, has another format, or does not match its own hash."""
        try:
            body = json.loads(text)
            recorded = body.pop("sha256")
            if recorded != _digest(body):
                raise ValueError("its content does not match its sha256")
            manifest = cls.model_validate(body)
            if manifest.text() != text:
                raise ValueError("it is not in the form in which it was written")
            return manifest
        except (ValueError, KeyError, AttributeError, TypeError, ValidationError) as error:
            raise BadData.at(
                where, f"not a whole manifest of format {FORMAT}: {error}; prepare the dataset again"
            ) from error

    @classmethod
    def read(cls, version: Place) -> Self:
        """The manifest of the dataset version in the folder `version`, local or remote.

        Raises BadData if there is none (then it is not a version) or it is corrupt.
        """
        try:
            text = (version / FILE).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            raise BadData.at(version, f"no {FILE}, so no dataset version; `millstream prepare` makes one") from None
        except UnicodeDecodeError as error:
            raise BadData.at(version / FILE, f"not UTF-8 ({error}); prepare the dataset again") from None
        return cls.parse(text, version / FILE)


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

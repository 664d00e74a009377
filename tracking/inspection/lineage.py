"""Lineage of a row: its ancestors in the dataset version, and its location in the source files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from millstream.tracking.dataset.filesystems import files_below
from millstream.tracking.dataset.manifest import ASIDE, Shard, Source
from millstream.tracking.dataset.shard_reader import opened, quarantined
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData

Row = dict[str, Any]
_LINES = ("table", "text")
"""Sources that name a row `<file>:<line>` if it has no key."""


def lineage(dataset: Dataset, sample_id: str) -> tuple[list[Row], dict[str, Any] | None]:
    """The sample, its parent, and so on; and the source location of the oldest one, if its id contains it.

    Each row has its values, and its location as `split`, `file` and `row` (from 0). Raises BadData if there is no such
    sample, with the reason if it was quarantined.
    """
    chain: list[Row] = []
    wanted: str | None = sample_id
    while wanted is not None and wanted not in [row["sample_id"] for row in chain]:
        row = find(dataset, [wanted]).get(wanted)
        if row is None:
            break  # the parent was dropped from this version, when classes were rebalanced
        chain.append(row)
        wanted = row["parent_id"]
    if not chain:
        reason = refused(dataset, sample_id)
        message = f"no sample {sample_id!r}" if reason is None else f"{sample_id!r} was quarantined: {reason}"
        raise BadData.at(f"{dataset.manifest.name}/{dataset.manifest.version}", message)
    return chain, place(dataset.manifest.source, wanted or chain[-1]["sample_id"])


def find(
    dataset: Dataset, sample_ids: Iterable[str], within: Mapping[str, Sequence[Shard]] | None = None
) -> dict[str, Row]:
    """Rows by sample id, in the whole version or in these shards. Reads only ids, until all samples are found."""
    wanted = set(sample_ids)
    rows_by_id: dict[str, Row] = {}
    for split, shards in (within or {name: dataset.shards(name) for name in dataset.manifest.splits}).items():
        for shard in shards:
            if wanted <= rows_by_id.keys():
                return rows_by_id
            with opened(dataset, shard) as parquet:
                ids = parquet.read(columns=["sample_id"]).column(0)
                places = pc.indices_nonzero(pc.is_in(ids, value_set=pa.array(sorted(wanted)))).to_pylist()
                rows = parquet.read().take(places).to_pylist() if places else []
            rows_by_id |= {
                row["sample_id"]: {"split": split, "file": shard.file, "row": at, **row, "op": _op(row["op"])}
                for at, row in zip(places, rows, strict=True)
            }
    return rows_by_id


def refused(dataset: Dataset, sample_id: str) -> str | None:
    """Reason why a row was quarantined; None if it was not. Raises BadData if the quarantine cannot be read."""
    names = files_below(dataset.folder / ASIDE) if dataset.manifest.quarantine else []
    for file in (f"{ASIDE}/{name}" for name in names if name.endswith(".parquet")):
        try:
            for piece in quarantined(dataset, file, ["sample_id", "reason"]):
                matching = piece.filter(pc.equal(piece.column("sample_id"), sample_id))
                if matching.num_rows:
                    return str(matching.column("reason")[0].as_py())
        except (pa.ArrowException, OSError, KeyError) as error:
            raise BadData.at(dataset.folder / file, f"cannot be read ({error}); prepare the dataset again") from None
    return None


def place(source: Source, sample_id: str) -> dict[str, Any] | None:
    """Source file of a row, with line or row number; None if its id does not contain it."""
    name, _, number = sample_id.rpartition(":")
    if number.isdecimal() and source.config.get("key") is None:
        files = [file.name for file in source.files if name in (file.name, PurePosixPath(file.name).name)]
        if len(files) == 1:
            return {"file": files[0], _number(source): int(number)}
    whole = [file.name for file in source.files if f"/{file.name}".endswith(f"/{sample_id}")]
    if len(whole) == 1:
        return {"file": whole[0]}
    return {"file": source.files[0].name} if len(source.files) == 1 else None


def _number(source: Source) -> str:
    """What the number in a row's id counts: lines, or the rows of a format without lines."""
    return "line" if source.name in _LINES and source.config.get("format") not in ("parquet", "orc") else "row"


def _op(text: str | None) -> Any:
    """The op of a row, parsed; the raw text if it is not JSON."""
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text

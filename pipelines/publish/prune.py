"""Removes unreferenced dataset versions."""

from __future__ import annotations

from functools import partial

from pydantic import BaseModel

from millstream.pipelines.publish.stores import Store, open_store
from millstream.pipelines.spark.session import session
from millstream.tracking.dataset import version as dataset
from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.errors import BadData
from millstream.tracking.runs.version_references import Uses, uses
from millstream.tracking.settings import Settings

SHOWN = 3
"""Runs and models that are listed per version; there may be thousands."""


class Version(BaseModel, frozen=True):
    """`why`: reasons to keep the version; empty for one to remove."""

    dataset: str
    version: str
    bytes: int
    why: tuple[str, ...] = ()


class Pruned(BaseModel, frozen=True):
    done: bool
    goes: tuple[Version, ...]
    stays: tuple[Version, ...]


def prune(settings: Settings, name: str | None, *, keep: int, yes: bool) -> Pruned:
    """Report which versions of a dataset (or of all) are removed and why the others are kept; with `yes`, remove them.

    A version is kept if `latest`, a run, a registered model or another version's `parents` reference it, if it is among
    the `keep` newest of its dataset, or if its manifest cannot be read. Raises BadEnvironment when the tracking store
    cannot be read, BadData when there is no such dataset.
    """
    named = uses(settings)
    store = open_store(settings, partial(session, None, settings))
    everything = _manifests(store)
    if name is not None and name not in everything:
        raise BadData.at(name, f"no such dataset in the store {store.where}; it has {sorted(everything)}")
    parents = {
        parent.rpartition("/")[2]: f"parent of {one}/{version}"
        for one, manifests in everything.items()
        for version, manifest in manifests.items()
        for parent in (manifest.parents if manifest else ())
    }
    judged = [
        one
        for each in sorted(everything if name is None else [name])
        for one in _judged(store, each, everything[each], keep, named, parents)
    ]
    goes = tuple(one for one in judged if not one.why)
    if yes:
        for one in goes:
            if dataset.latest(store.where / one.dataset) != one.version:  # it may have changed meanwhile
                store.remove(one.dataset, one.version)
    return Pruned(done=yes, goes=goes, stays=tuple(one for one in judged if one.why))


def _manifests(store: Store) -> dict[str, dict[str, Manifest | None]]:
    """Manifest of each version of each dataset; None for an unreadable one."""
    manifests: dict[str, dict[str, Manifest | None]] = {}
    for folder in store.where.iterdir() if store.where.is_dir() else ():
        for version in dataset.versions(store.where, folder.name):
            try:
                manifest = Manifest.read(version)
            except BadData:
                manifest = None
            manifests.setdefault(folder.name, {})[version.name] = manifest
    return manifests


def _judged(
    store: Store, name: str, manifests: dict[str, Manifest | None], keep: int, named: Uses, parents: dict[str, str]
) -> list[Version]:
    newest = sorted(manifests, key=lambda version: one.created if (one := manifests[version]) else "", reverse=True)[
        :keep
    ]
    latest = dataset.latest(store.where / name)
    judged = []
    for version, manifest in sorted(manifests.items()):
        why = ["latest"] if version == latest else []
        why += [f"one of the newest {keep}"] if version in newest else []
        why += [parents[version]] if version in parents else []
        if manifest is None:
            why.append("its manifest cannot be read; see `millstream verify`")
            judged.append(Version(dataset=name, version=version, bytes=0, why=tuple(why)))
            continue
        by = named.of(manifest)
        why += by[:SHOWN] + ((f"and {len(by) - SHOWN} more",) if len(by) > SHOWN else ())
        held = sum(shard.bytes for split in manifest.splits.values() for shard in split.shards)
        judged.append(Version(dataset=name, version=version, bytes=held, why=tuple(why)))
    return judged

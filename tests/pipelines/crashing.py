"""Publishes a version in processes that end before their n-th operation on a store, for every n, and looks at it.

    python -m tests.pipelines.crashing FOLDER-OR-S3-URL SHARDS EVERY

tries every EVERY-th n and prints the number of points; whatever is wrong ends it with an error. A process of its own,
since it forks: no threads of a test runner or of Java come along.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from millstream.pipelines.publish.local_store import LocalStaging, LocalStore
from millstream.pipelines.publish.remote_store import RemoteStore
from millstream.pipelines.publish.shard_writer import write_part
from millstream.pipelines.publish.stores import Store
from millstream.tracking.dataset.filesystems import files_below, place
from millstream.tracking.dataset.manifest import Split
from millstream.tracking.dataset.shard_cache import Cache
from millstream.tracking.dataset.version import Dataset, latest, versions
from millstream.tracking.verification.content_digest import hexadecimal
from millstream.tracking.verification.verify import verify
from tests.pipelines.published import manifest_of

CRASHED = 9
SCHEMA = pa.schema({**dict.fromkeys(("sample_id", "parent_id", "op"), pa.string()), "wind": pa.float64()})


def publish(store: Store, version: str, shards: int) -> None:
    """What `prepare` does with a store, with shards that this process itself writes."""
    store.sweep("made")
    if version in [one.name for one in versions(store.where, "made")]:
        store.point_latest("made", version)
        return
    with store.staging("made", version) as staged:
        written = []
        for at in range(shards):
            batch = pa.RecordBatch.from_pydict(
                {"sample_id": [f"{version}-{at}"], "parent_id": [None], "op": [None], "wind": [float(at)]}, SCHEMA
            )
            if isinstance(staged, LocalStaging):
                (staged.folder / "split=train").mkdir(exist_ok=True)
                target = f"{staged.folder}/split=train/part-{at:05d}.parquet"
            else:
                target = f"{staged.version}/split=train/part-{at:05d}-{staged.mark.token}.parquet"
            written.append(write_part([batch], target))
        facts = tuple(one.shard for one in written)
        digest = hexadecimal(sum(one.digest for one in written))
        split = Split(rows=shards, class_counts={}, digest=digest, shards=facts)
        staged.commit(manifest_of({"train": split}, version=version))


def ends_before(operation: int, where: str) -> Callable[[], int]:
    """From now on this process ends before its n-th operation on the store; how many there were so far."""
    count = 0

    def another() -> None:
        nonlocal count
        if count == operation:
            os._exit(CRASHED)
        count += 1

    def heard(event: str, arguments: tuple[object, ...]) -> None:
        if (event == "open" or event.startswith("os.")) and arguments and str(arguments[0]).startswith(where):
            another()

    if "://" in where:
        from s3fs import S3FileSystem

        call = S3FileSystem._call_s3

        async def counted(self: S3FileSystem, *arguments: object, **options: object) -> object:
            another()
            return await call(self, *arguments, **options)

        S3FileSystem._call_s3 = counted
    else:
        sys.addaudithook(heard)
        synced = os.fsync

        def fsync(descriptor: int) -> None:
            another()
            synced(descriptor)

        os.fsync = fsync
    return lambda: count


def look(store: Store, folder: Path, expected: set[str]) -> None:
    """Every version that can be seen is whole, `latest` names one of them, and those that are expected are there."""
    cache = Cache(folder, 1 << 30)
    found = {one.name for one in versions(store.where, "made")}
    assert expected <= found, (expected, found)
    assert latest(store.where / "made") in found
    for version in found:
        assert verify_published(Dataset.open(f"made/{version}", store.where, cache)) == []


def verify_published(dataset: Dataset) -> list[str]:
    """Faults but for the files that a crashed process left beside a published version, until the next sweep."""
    return [str(fault) for fault in verify(dataset) if "is not in the manifest" not in fault.message]


def child(work: Callable[[], object]) -> int:
    """The exit code of a process that does this work."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def store_at(where: str) -> Store:
    found = place(where)
    return LocalStore(found) if isinstance(found, Path) else RemoteStore(found)


def crashed(where: str, at: int, shards: int) -> bool:
    """Publish `v1` beside `v0` with a crash at this point, look, and publish again; whether the point was reached."""
    store = store_at(where)

    def crash() -> None:
        ends_before(at, where)
        publish(store, "v1", shards)

    assert child(lambda: publish(store, "v0", shards)) == 0
    code = child(crash)
    assert code in (0, CRASHED), code
    cache = Path(os.environ["MILLSTREAM_HOME"]) / f"cache-{at}"
    assert child(lambda: look(store, cache, {"v0"})) == 0
    assert child(lambda: publish(store, "v1", shards)) == 0
    assert child(lambda: look(store, cache, {"v0", "v1"})) == 0
    assert child(lambda: tidy(store, shards)) == 0
    return code == CRASHED


def tidy(store: Store, shards: int) -> None:
    """Nothing is there but the two versions and the pointer, and nothing in them that is not theirs."""
    names = {name.partition("/")[0] for name in files_below(store.where / "made")} | {"latest"}
    assert names == {"v0", "v1", "latest"}, names
    for version in ("v0", "v1"):
        assert len(files_below(store.where / "made" / version)) == shards + 1


def main(where: str, shards: int, every: int) -> None:
    if "://" in where:
        import s3fs  # noqa: F401  once, and not in each child
    points, at = 0, 0
    while crashed(f"{where}/{at}", at, shards):
        points += 1
        at += every
    print(points)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

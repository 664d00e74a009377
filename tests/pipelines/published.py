"""A small version, published by the code of `prepare` into any store."""

from __future__ import annotations

from millstream.pipelines.publish import publish
from millstream.pipelines.publish.shard_writer import names
from millstream.tracking.dataset.manifest import Manifest, Source, Split
from millstream.tracking.verification.content_digest import hexadecimal
from tests.pipelines.made import NUMBER, table


def manifest_of(splits, name="made", version="v1", quarantine=None, columns=(NUMBER,), put_aside=()):
    return Manifest(
        name=name,
        version=version,
        seed=0,
        created="2026-01-01T00:00:00Z",
        source=Source(name="made", config={}, licence="none", origin="made in a test", files=()),
        steps=(),
        columns=columns,
        splits=splits,
        checks=(),
        quarantine=quarantine or {},
        put_aside=put_aside,
    )


COUNTS = {"train": 30, "test": 10}
MOST_PARTS = 100
"""More than any test cuts its rows into."""


def rows(spark):
    """40 numbers with their splits, and two refused rows."""
    made = [{"wind": float(at), "split": "train" if at % 4 else "test"} for at in range(sum(COUNTS.values()))]
    refused = spark.createDataFrame(
        [("b", "too long", "{}"), ("a", "too long", "{}")], "sample_id string, reason string, content string"
    )
    whole = table(spark, made, NUMBER, partitions=3)
    return type(whole)(whole.frame, whole.columns, refused)


def publish_whole(store, whole):
    """The place of a version that is cut, shuffled and quarantined as `prepare` does it."""
    with store.staging("made", "v1") as staged:
        splits = publish.write_splits(whole, staged, {name: {None: rows} for name, rows in COUNTS.items()}, 0)
        quarantine, refused = publish.write_refused(whole.refused, staged)
        return staged.commit(manifest_of(splits, quarantine=quarantine, put_aside=refused))


def publish_rows(store, frame, *, version="v1"):
    """The place of a version with these rows as its train split, a shard a partition."""
    with store.staging("made", version) as staged:
        return staged.commit(manifest_of({"train": train_of(staged, frame)}, version=version))


def train_of(staged, frame):
    written = staged.write(frame, names("split=train", MOST_PARTS))
    shards = tuple(one.shard for one in written)
    digest = hexadecimal(sum(one.digest for one in written))
    return Split(rows=sum(shard.rows for shard in shards), class_counts={}, digest=digest, shards=shards)

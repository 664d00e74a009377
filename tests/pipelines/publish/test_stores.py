"""What holds for a store wherever it lies: on a disk, on S3, on a Hadoop file system."""

import time
import uuid

import pyarrow.parquet as pq
import pytest

from millstream.pipelines.publish import publish
from millstream.pipelines.publish.local_store import LocalStore
from millstream.pipelines.publish.remote_store import RemoteStore
from millstream.pipelines.publish.shard_writer import names, placed
from millstream.pipelines.publish.staging_name import STAGING, Mark
from millstream.pipelines.publish.stores import reach
from millstream.tracking.dataset.filesystems import Remote, files_below, place
from millstream.tracking.dataset.shard_cache import Cache
from millstream.tracking.dataset.version import Dataset, latest, versions
from millstream.tracking.errors import BadData, BadEnvironment
from millstream.tracking.verification.verify import verify
from tests.pipelines.published import manifest_of, publish_rows, publish_whole, rows, train_of

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def viewed(spark, tmp_path_factory):
    """A Hadoop file system that is not `file:`, over Hadoop's own local one."""
    disk = tmp_path_factory.mktemp("hadoop")
    configuration = spark.sparkContext._jsc.hadoopConfiguration()
    configuration.set("fs.viewfs.mounttable.disk.link./store", disk.as_uri())
    reach(Remote("viewfs://disk/store"), lambda: spark)
    return "viewfs://disk/store"


@pytest.fixture
def reached(spark, s3):
    """The server, which the workers of the running session know, too."""
    spark.sparkContext.environment.update(s3.environment)
    return s3


@pytest.fixture(params=["disk", "s3", "hadoop"])
def store(request, tmp_path):
    if request.param == "disk":
        return LocalStore(tmp_path / "store")
    if request.param == "s3":
        request.getfixturevalue("reached")
        return RemoteStore(Remote(f"s3://bucket/{uuid.uuid4().hex}"))
    return RemoteStore(Remote(f"{request.getfixturevalue('viewed')}/{uuid.uuid4().hex}"))


@pytest.fixture(scope="module")
def few(spark):
    """Rows of two parts."""
    frame = rows(spark).frame.selectExpr("*", "CAST(wind % 2 AS INT) AS _part").drop("split")
    return placed(frame, 2, "sample_id").persist()


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache", 1 << 30)


def left(store):
    """The top names of the dataset's folder."""
    return sorted({name.partition("/")[0] for name in files_below(store.where / "made") if "/.crc" not in name})


def test_a_published_version_is_whole_and_found_by_its_name(spark, store, cache, tmp_path):
    place_of_it = publish_whole(store, rows(spark))
    dataset = Dataset.open("made", store.where, cache)
    assert str(dataset.folder) == str(place_of_it)
    assert [one.name for one in versions(store.where, "made")] == ["v1"]
    assert verify(dataset) == []
    stored = [pq.read_table(dataset.verified(shard)) for name in ("train", "test") for shard in dataset.shards(name)]
    assert sorted(value for one in stored for value in one["wind"].to_pylist()) == [float(at) for at in range(40)]
    assert {one.schema.names[0] for one in stored} == {"sample_id"}
    assert set(left(store)) <= {"v1", "latest"}
    (quarantined,) = [name for name in files_below(dataset.folder) if name.startswith("quarantine/")]
    copy = tmp_path / "quarantine.parquet"
    found = dataset.folder / quarantined
    copy.write_bytes(found.read_bytes())
    assert pq.read_table(copy)["sample_id"].to_pylist() == ["a", "b"]


def test_the_content_is_the_same_on_every_store_and_however_spark_cuts_it(spark, store, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "SHARD_BYTES", 700)  # three shards or so
    whole = rows(spark)
    publish_whole(store, whole)
    again = LocalStore(tmp_path / "again")
    publish_whole(again, type(whole)(whole.frame.repartition(7), whole.columns))
    opened = [Dataset.open("made", one.where, cache) for one in (store, again)]
    contents = [{name: (split.digest, split.rows) for name, split in one.manifest.splits.items()} for one in opened]
    assert contents[0] == contents[1]
    first, second = ([pq.read_table(one.verified(shard)) for shard in one.shards("train")] for one in opened)
    # in the same order
    assert [one.to_pylist() for one in first] == [one.to_pylist() for one in second]


def test_the_same_rows_are_the_same_bytes_where_our_own_workers_write(few, reached, tmp_path):
    stores = LocalStore(tmp_path), RemoteStore(Remote(f"s3://bucket/{uuid.uuid4().hex}"))
    hashes = []
    for store in stores:
        publish_rows(store, few)
        splits = Dataset.open("made", store.where).manifest.splits.values()
        hashes.append([shard.sha256 for split in splits for shard in split.shards])
    assert hashes[0] == hashes[1]


def test_the_second_of_two_that_publish_one_version_finds_the_first_ones(few, store, cache):
    with store.staging("made", "v1") as late:
        train = train_of(late, few)
        publish_rows(store, few)
        before = Dataset.open("made", store.where).manifest
        late.commit(manifest_of({"train": train}))
    dataset = Dataset.open("made", store.where, cache)
    assert dataset.manifest == before
    assert verify(dataset) == []
    assert set(left(store)) <= {"v1", "latest"}


def test_latest_names_the_version_that_was_published_last(few, store):
    for version in ("v1", "v2", "v1"):
        if version not in [one.name for one in versions(store.where, "made")]:
            publish_rows(store, few, version=version)
        store.point_latest("made", version)
        assert latest(store.where / "made") == version
        assert Dataset.open("made", store.where).manifest.version == version


def test_what_is_being_written_is_no_version_and_a_failure_leaves_nothing(few, store):

    def broken():
        with store.staging("made", "v1") as staged:
            staged.write(few, names("split=train", 2))
            assert list(versions(store.where, "made")) == []
            with pytest.raises(BadData, match="no "):
                Dataset.open("made/v1", store.where)
            assert store.sweep("made") == []  # we are alive
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        broken()
    assert left(store) == []


def test_leftovers_of_the_dead_are_swept_and_those_of_the_living_are_not(few, store, cache, monkeypatch):
    publish_rows(store, few)
    living, begun = Mark.mine("v2"), []
    for mark, version in ((living._replace(started=1, token="dead0000"), "v1"), (living, "v2")):
        monkeypatch.setattr(Mark, "mine", lambda version, mark=mark: mark)
        begun.append(store.staging("made", version))
        begun[-1].__enter__().write(few, names("split=train", 2))  # and never left
    assert store.sweep("made")
    kept = files_below(store.where / "made")
    assert not any("dead0000" in name for name in kept)
    assert any(living.token in name for name in kept)
    assert verify(Dataset.open("made/v1", store.where, cache)) == []


def test_leftovers_of_another_host_are_swept_when_they_are_old(few, store, monkeypatch):
    mark = Mark.mine("v2")._replace(host="elsewhere")
    monkeypatch.setattr(Mark, "mine", lambda version: mark)
    begun = store.staging("made", "v2")
    begun.__enter__().write(few, names("split=train", 2))
    assert store.sweep("made") == []
    assert any(name.startswith(STAGING) for name in files_below(store.where / "made"))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 49 * 3600)
    assert store.sweep("made")
    assert files_below(store.where / "made") == []


def test_a_removed_version_is_gone_and_the_others_stay(few, store, cache):
    for version in ("v1", "v2"):
        publish_rows(store, few, version=version)
    store.remove("made", "v1")
    assert [one.name for one in versions(store.where, "made")] == ["v2"]
    assert set(left(store)) <= {"v2", "latest"}
    assert verify(Dataset.open("made", store.where, cache)) == []


@pytest.mark.fault
def test_a_removal_that_died_half_way_is_finished_by_the_next_sweep(few, store, monkeypatch):
    publish_rows(store, few)
    if isinstance(store, LocalStore):
        dead = Mark.mine("v1")._replace(started=1)
        (store.where / "made" / "v1").rename(store.where / "made" / str(dead))
    else:
        store._delete(store.where / "made", ["v1/manifest.json"])
    store.sweep("made")
    assert set(left(store)) <= {"latest"}


@pytest.mark.fault
def test_a_small_file_that_was_never_renamed_is_swept_when_its_process_is_dead(few, viewed):
    store = RemoteStore(Remote(f"{viewed}/{uuid.uuid4().hex}"))
    folder, living = store.where / "made", Mark.mine("put")
    for below in ("", "v1/"):
        for mark in (living, living._replace(started=1, token="dead0000")):
            folder.system.pipe_file(f"{folder}/{below}{mark}", b"")
    store.sweep("made")
    assert files_below(folder) == [str(living), f"v1/{living}"]


@pytest.mark.bad_input
def test_a_missing_bucket_is_reported(s3):
    store = RemoteStore(Remote("s3://nobodys-bucket/store"))
    with pytest.raises(BadEnvironment, match="bucket"), store.staging("made", "v1"):
        pass


@pytest.mark.security
def test_a_url_with_a_password_is_refused_and_does_not_show_it():
    with pytest.raises(BadEnvironment, match="environment") as refused:
        place("s3://me:hidden@bucket/store")
    assert "hidden" not in str(refused.value)

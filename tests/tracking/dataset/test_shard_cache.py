import hashlib
import multiprocessing
import os
import random
import signal
import threading
import time

import pytest

from millstream.tracking.dataset.filesystems import files_below
from millstream.tracking.dataset.shard_cache import Cache, Wanted
from millstream.tracking.dataset.version import Dataset, latest
from millstream.tracking.errors import BadData, BadEnvironment
from millstream.tracking.verification.verify import verify
from tests.datasets import make_dataset
from tests.training.signatures import number, target

COLUMNS = (number("a"), target(3))


def wanted(content, fetch=None):
    return Wanted(hashlib.sha256(content).hexdigest(), len(content), "s3://bucket/some", fetch or (lambda: content))


def kept(cache):
    return sorted(path.read_bytes()[:1] for path in cache.folder.glob("*.parquet"))


def block(letter):
    return letter * 100


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache", 300)


def test_the_least_recently_used_goes_first(cache):
    for letter in (b"a", b"b", b"c", b"a", b"d"):
        one = wanted(block(letter))
        assert cache.lend(one).read_bytes() == block(letter)
        cache.release(one.sha256)
    assert kept(cache) == [b"a", b"c", b"d"]


def test_what_is_in_use_by_another_process_never_goes(cache):
    other = Cache(cache.folder, cache.limit)
    path = other.lend(wanted(block(b"a")))
    for letter in (b"b", b"c", b"d", b"e"):
        one = wanted(block(letter))
        cache.lend(one)
        cache.release(one.sha256)
    assert kept(cache) == [b"a", b"d", b"e"]
    assert path.read_bytes() == block(b"a")


@pytest.mark.fault
def test_more_than_fits_at_once_is_refused_with_the_setting(cache):
    for letter in (b"a", b"b", b"c"):
        cache.lend(wanted(block(letter)))
    with pytest.raises(BadEnvironment, match="MILLSTREAM_CACHE_GIB"):
        cache.lend(wanted(block(b"d")))
    cache.release(wanted(block(b"b")).sha256)
    assert cache.lend(wanted(block(b"d"))).read_bytes() == block(b"d")


def test_a_copy_is_fetched_once_and_lent_as_often_as_requested(cache):
    calls = []
    one = wanted(block(b"a"), lambda: calls.append(1) or block(b"a"))
    threads = [threading.Thread(target=cache.lend, args=(one,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    for _ in range(7):
        cache.release(one.sha256)
    path = cache.lend(one)
    cache.release(one.sha256)
    assert path.exists()
    cache.release(one.sha256)
    assert not path.exists()


@pytest.mark.fault
def test_other_bytes_than_expected_are_refused_and_not_kept(cache):
    for content in (b"b" * 100, b"a" * 99):
        with pytest.raises(BadData, match="s3://bucket/some"):
            cache.lend(wanted(block(b"a"), lambda content=content: content))
    assert [path for path in cache.folder.iterdir() if path.suffix in (".parquet", ".part")] == []


@pytest.mark.fault
def test_a_copy_that_was_damaged_on_the_disk_is_fetched_again(cache):
    one = wanted(block(b"a"))
    cache.lend(one)
    cache.release(one.sha256)
    (path,) = cache.folder.glob("*.parquet")
    path.write_bytes(block(b"x"))
    assert Cache(cache.folder, cache.limit).lend(one).read_bytes() == block(b"a")


def use(folder, limit, seed, times):
    generator, cache = random.Random(seed), Cache(folder, limit)
    for _ in range(times):
        content = block(bytes([97 + generator.randrange(6)]))
        one = wanted(content)
        try:
            path = cache.lend(one)
        except BadEnvironment:
            continue  # all others hold one, and there is no room for another
        if path.read_bytes() != content:
            os._exit(1)
        cache.release(one.sha256)
    os._exit(0)


@pytest.mark.fault
def test_many_processes_share_it_some_are_killed_and_it_stays_bounded_and_right(cache, soak):
    context = multiprocessing.get_context("fork")
    times = [10**9] * 3 + [20_000 if soak else 300] * 3
    started = [context.Process(target=use, args=(cache.folder, cache.limit, at, times[at])) for at in range(6)]
    for process in started:
        process.start()
    generator = random.Random(0)
    for process in started[:3]:
        time.sleep(generator.uniform(0.1, 0.4))
        os.kill(process.pid, signal.SIGKILL)
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [-9] * 3 + [0] * 3
    last = wanted(block(b"z"))
    cache.lend(last)
    cache.release(last.sha256)
    assert sum(path.stat().st_size for path in cache.folder.glob("*.pa*")) <= cache.limit
    assert len(list((cache.folder / "held").iterdir())) == 1  # those of the killed are gone


@pytest.fixture
def on_s3(s3, tmp_path):
    """A version on S3, and its folder there."""
    made = make_dataset(tmp_path, {"train": values(), "test": values()}, COLUMNS, shard_rows=20, name=tmp_path.name)
    prefix = f"store/{tmp_path.name}"
    for file in files_below(made.folder):
        s3.put(f"{prefix}/v1/{file}", (made.folder / file).read_bytes())
    s3.put(f"{prefix}/latest", b"v1\n")
    return made, prefix


def values(rows=40):
    return {"a": [float(at) for at in range(rows)], "label": [at % 3 for at in range(rows)]}


def opened(made, folder):
    return Dataset.open(made.manifest.name, "s3://bucket/store", Cache(folder / "cache", 1 << 30))


def test_a_dataset_on_s3_reads_as_the_same_one_on_a_disk(on_s3, tmp_path):
    made, _ = on_s3
    dataset = opened(made, tmp_path)
    assert dataset.manifest == made.manifest
    assert verify(dataset) == []
    for split in ("train", "test"):
        for shard in dataset.shards(split):
            assert dataset.verified(shard).read_bytes() == (made.folder / shard.file).read_bytes()


@pytest.mark.fault
@pytest.mark.parametrize("harm", ["missing", "cut", "flipped", "swapped", "added"])
def test_verify_names_the_object_that_is_wrong(on_s3, s3, tmp_path, harm):
    made, prefix = on_s3
    first, second = (f"{prefix}/v1/{shard.file}" for shard in made.shards("train"))
    whole = s3.get(first)
    expected = "s3://bucket/" + first
    if harm == "missing":
        s3.client().delete_object(Bucket="bucket", Key=first)
    elif harm == "added":
        expected = f"s3://bucket/{prefix}/v1/split=train/part-00009.parquet"
        s3.put(expected.removeprefix("s3://bucket/"), whole)
    else:
        damaged = {"cut": whole[:-100], "flipped": bytes([whole[0] ^ 1]) + whole[1:], "swapped": s3.get(second)}
        s3.put(first, damaged[harm])
    assert [fault.where for fault in verify(opened(made, tmp_path))] == [expected]


@pytest.mark.security
@pytest.mark.parametrize("named", ["../other", "v1/../../x", "", "a b"])
def test_a_pointer_that_leads_elsewhere_is_refused(on_s3, s3, tmp_path, named):
    made, prefix = on_s3
    s3.put(f"{prefix}/latest", named.encode())
    with pytest.raises(BadData, match="names no version"):
        opened(made, tmp_path)
    assert latest(made.folder.parent) is None

"""Datasets prepared from data that the workers read where they lie: on a disk, on S3."""

import hashlib
import io
import os
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from millstream.pipelines import prepare
from millstream.pipelines.readers.inputs import Inputs
from millstream.pipelines.sources.table import Table
from millstream.pipelines.spark import failed_jobs
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData
from millstream.tracking.inspection import lineage
from millstream.tracking.verification.verify import verify
from tests.pipelines.test_prepare import located, quiet

pytestmark = pytest.mark.spark

FILES = {f"day={day}/part-{part}.parquet": 8 * day + part for day in range(3) for part in range(2)}
SOURCE = {
    "name": "table",
    "format": "parquet",
    "columns": {"x": {"type": "double"}, "day": {"type": "long"}, "y": {"type": "long", "role": "target"}},
}
STEPS = [{"split": {"by": "hash", "test": 0.5}}]


@pytest.fixture
def bucket(spark, s3):
    """The server, which the workers of the running session know, too."""
    spark.sparkContext.environment.update(s3.environment)
    return s3


@pytest.fixture
def folder(tmp_path):
    for name, value in FILES.items():
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"x": [value + at / 4 for at in range(4)], "y": [0, 1, 0, 1]}), path)
    return tmp_path / "raw"


@pytest.fixture
def copied(folder, bucket):
    """The URL of a copy on S3."""
    below = uuid.uuid4().hex
    for name in FILES:
        bucket.put(f"{below}/{name}", (folder / name).read_bytes())
    return f"s3://bucket/{below}"


@pytest.fixture
def recipe(tmp_path):
    def of(path, **fields):
        return located(
            tmp_path, data={"name": "days", "source": {**SOURCE, "path": str(path), **fields}, "steps": STEPS}
        )

    return of


def manifest_of(prepared, settings):
    return Dataset.open(prepared.path, settings.store).manifest


def digests(manifest):
    return {name: split.digest for name, split in manifest.splits.items()}


def test_the_same_content_is_one_version_wherever_it_lies(settings, tmp_path, folder, copied, recipe):
    first = prepare.prepare(recipe(folder), settings, say=quiet)
    manifest = manifest_of(first, settings)
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(FILES)}
    assert {file.name: (file.sha256, file.tag) for file in manifest.source.files} == {
        name: (digest, None) for name, digest in hashes.items()
    }
    assert manifest.source.identity == "content"
    other = settings.model_copy(update={"home": tmp_path / "other", "store": str(tmp_path / "other store")})
    remote = prepare.prepare(recipe(copied), other, say=quiet)
    assert (remote.version, remote.reused) == (first.version, False)
    assert digests(manifest_of(remote, other)) == digests(manifest)
    assert manifest_of(remote, other).source.config["path"] == copied
    assert verify(Dataset.open(remote.path, other.store)) == []
    assert not (other.home / "downloads").exists()


@pytest.mark.slow
def test_what_the_store_vouches_for_is_the_identity_where_that_is_chosen(settings, folder, copied, recipe):
    content = prepare.prepare(recipe(folder), settings, say=quiet)
    remote = prepare.prepare(recipe(copied, identity="store"), settings, say=quiet)
    manifest = manifest_of(remote, settings)
    assert manifest.source.identity == "store"
    md5 = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in FILES}  # what S3's etags are
    assert {file.name: file.tag for file in manifest.source.files} == {name: f"etag:{md5[name]}" for name in FILES}
    assert all(
        file.sha256 is None and file.bytes == (folder / file.name).stat().st_size for file in manifest.source.files
    )
    assert digests(manifest) == digests(manifest_of(content, settings))
    disk = prepare.prepare(recipe(folder, identity="store"), settings, say=quiet)
    assert digests(manifest_of(disk, settings)) == digests(manifest)
    assert len({content.version, remote.version, disk.version}) == 3
    os.utime(folder / next(iter(FILES)), (1, 1))
    assert prepare.prepare(recipe(folder, identity="store"), settings, say=quiet).version != disk.version


@pytest.mark.slow
def test_a_version_is_found_again_without_reading_its_input(settings, folder, recipe, monkeypatch):
    with pytest.raises(BadData, match="not prepared yet"):
        prepare.find(recipe(folder), settings)
    first = prepare.prepare(recipe(folder), settings, say=quiet)
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "session", pytest.fail)
        assert prepare.find(recipe(folder), settings).manifest.version == first.version
        assert prepare.prepare(recipe(folder), settings, say=quiet).reused
    name = next(iter(FILES))
    (folder / name).write_bytes((folder / next(reversed(FILES))).read_bytes())
    with pytest.raises(BadData, match="not prepared yet"):
        prepare.find(recipe(folder), settings)
    assert prepare.prepare(recipe(folder), settings, say=quiet).version != first.version


@pytest.mark.slow
def test_a_row_leads_back_to_its_file(settings, folder, recipe):
    manifest = manifest_of(prepare.prepare(recipe(folder), settings, say=quiet), settings)
    assert lineage.place(manifest.source, "day=1/part-0.parquet:3") == {"file": "day=1/part-0.parquet", "row": 3}


@pytest.mark.fault
@pytest.mark.parametrize("place", [pytest.param("disk", marks=pytest.mark.slow), "s3"])
@pytest.mark.parametrize(
    ("fault", "message"),
    [("other", "has changed since it was listed"), pytest.param("gone", "is gone since", marks=pytest.mark.slow)],
)
def test_a_file_that_is_not_the_listed_one_any_more_is_refused(spark, settings, folder, request, place, fault, message):
    name = "day=1/part-1.parquet"
    where = str(folder) if place == "disk" else request.getfixturevalue("copied")
    inputs = Inputs.of(Table(path=where, **{key: value for key, value in SOURCE.items() if key != "name"}), settings)
    if place == "disk":
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        if fault == "other":
            (folder / name).write_bytes(content[::-1])
    else:
        client, key = request.getfixturevalue("s3").client(), f"{where.rpartition('/')[2]}/{name}"
        client.delete_object(Bucket="bucket", Key=key)
        if fault == "other":
            client.put_object(Bucket="bucket", Key=key, Body=(folder / name).read_bytes()[::-1])
    with pytest.raises(BadData, match=f"{name}: {message}"), failed_jobs.translated(where):
        inputs.read(spark, 0)


@pytest.mark.slow
def test_images_and_masks_that_a_table_on_s3_names_are_those_of_the_folder(settings, tmp_path, bucket, monkeypatch):
    folder, below = tmp_path / "scans", uuid.uuid4().hex
    folder.mkdir()
    rows = [f"{name},{at % 2}" for at, name in enumerate("abcdefgh")]
    files = {"index.csv": "\n".join(["id,kind", *rows, "lost,1", ""]).encode()}
    for at, name in enumerate("abcdefgh"):
        for kind, value in (("image", at * 20), ("mask", at % 3)):
            out = io.BytesIO()
            Image.new("L", (8, 6), value).save(out, "PNG")
            files[f"{kind}-{name}.png"] = out.getvalue()
    for name, content in files.items():
        (folder / name).write_bytes(content)
        bucket.put(f"{below}/scans/{name}", content)
    monkeypatch.chdir(tmp_path)
    manifests = []
    for root in ("", f"s3://bucket/{below}/"):
        table = {"name": f"{root}scans/index.csv", "image": "image-{id}.png", "mask": "mask-{id}.png", "label": "kind"}
        source = {"name": "images", "table": table, "height": 6, "width": 8, "channels": 1}
        recipe = located(tmp_path, data={"name": "scans", "source": source, "steps": STEPS})
        manifests.append(manifest_of(prepare.prepare(recipe, settings, say=quiet), settings))
    disk, remote = manifests
    assert (disk.source.identity, remote.source.identity) == (None, "content")
    assert digests(disk) == digests(remote)
    assert disk.quarantine == remote.quarantine == {"the file cannot be read": 1}
    hashes = [{file.name.rpartition("/")[2]: file.sha256 for file in one.source.files} for one in manifests]
    assert hashes[0] == hashes[1]
    copies = [path.name for path in (settings.home / "downloads").rglob("*.*") if not path.name.startswith(".")]
    assert copies == ["index.csv"]

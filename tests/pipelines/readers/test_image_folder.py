"""Folders of images and of frames, wherever they lie: in the mirror, here, behind a URL."""

import io
import os
import uuid

import pytest
from fsspec.registry import _registry
from PIL import Image

from millstream.pipelines import prepare
from millstream.pipelines.readers import origin_files
from millstream.pipelines.readers.inputs import Inputs
from millstream.pipelines.sources.images import Images
from millstream.pipelines.sources.video import Video
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData
from tests.pipelines.made import rows_of
from tests.pipelines.test_prepare import located, quiet

pytestmark = pytest.mark.spark

KINDS = pytest.mark.parametrize("kind", ["mirror", "here", "file", "s3"])
NAMES = [f"{clip}/f{at}.png" for clip in ("a", "a-b") for at in range(2)]
MORE = {"a/notes.txt": b"no image", "a/below/f0.png": b"too deep", "f0.png": b"not deep enough"}
ASIDE = {
    "a/notes.txt": "is not an image in a supported format",
    "a/below/f0.png": "lies in a folder of a folder",
    "f0.png": "lies beside the folders",
}
HIDDEN = (
    *("a/.DS_Store", "a/._f0.png", "a/Thumbs.db", "a-b/desktop.ini", ".ipynb_checkpoints/f0.png"),
    *("__MACOSX/a/._f0.png", "a/.ipynb_checkpoints/f0-checkpoint.png", ".git/HEAD"),
)
ROWS = [(f"{name}", value) for value, name in enumerate(NAMES)]


def png(value):
    out = io.BytesIO()
    Image.new("L", (8, 6), value).save(out, "PNG")
    return out.getvalue()


CONTENTS = {name: png(value) for value, name in enumerate(NAMES)} | MORE | {name: png(0) for name in HIDDEN}


def put(folder):
    for name, content in CONTENTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.fixture
def bucket(spark, s3):
    """The server, which the workers of the running session know, too."""
    spark.sparkContext.environment.update(s3.environment)
    return s3


@pytest.fixture
def folder(kind, request, tmp_path, settings, monkeypatch):
    """How a recipe names the folder, and the settings by which it is found."""
    settings = settings.model_copy(update={"mirror": tmp_path / "mirror"})
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    if kind == "s3":
        below = uuid.uuid4().hex
        for name, content in CONTENTS.items():
            request.getfixturevalue("bucket").put(f"{below}/my images/{name}", content)
        return f"s3a://bucket/{below}/my images/", settings
    root = tmp_path / {"file": "else"}.get(kind, kind) / "my images"
    put(root)
    return (root.as_uri() if kind == "file" else "my images"), settings


def read(spark, source, settings):
    return Inputs.of(source, settings).read(spark, 0)


@KINDS
def test_images_are_read_from_a_folder_anywhere(spark, folder):
    table = read(spark, Images(folder=folder[0], height=6, width=8, channels=1), folder[1])
    assert [(name, image[0]) for name, image in rows_of(table, "sample_id", "image")] == sorted(ROWS)
    assert [row[0] for row in rows_of(table, "label")] == [
        0 if name.startswith("a/") else 1 for name, _ in sorted(ROWS)
    ]
    assert dict(table.refused.select("sample_id", "reason").collect()) == ASIDE


@KINDS
def test_clips_are_read_from_a_folder_anywhere(spark, folder):
    table = read(spark, Video(folder=folder[0], frames=2, height=6, width=8, channels=1), folder[1])
    windows = [(name, list(frames[::48])) for name, frames in rows_of(table, "sample_id", "frames")]
    assert windows == [("a-b/000000", [2, 3]), ("a/000000", [0, 1])]
    assert dict(table.refused.select("sample_id", "reason").collect()) == ASIDE


@pytest.mark.parametrize("kind", ["here"])
def test_the_mirror_comes_before_the_current_folder(folder, tmp_path):
    source = Video(folder=folder[0], frames=1, height=6, width=8)
    found = origin_files.locate_all(source, folder[1])
    assert all(path.is_relative_to(tmp_path / "here") for path in found.values())
    put(tmp_path / "mirror" / "my images")
    (tmp_path / "mirror" / "my images" / "a" / "f2.png").write_bytes(png(9))
    found = origin_files.locate_all(source, folder[1])
    root = tmp_path / "mirror" / "my images"
    assert {file.name: path for file, path in found.items()} == {
        f"my images/{name}": root / name for name in (*NAMES, "a/f2.png", *MORE)
    }


@pytest.mark.parametrize("kind", ["here"])
def test_links_are_followed_once_and_an_empty_folder_is_quarantined(spark, folder, tmp_path):
    root = tmp_path / "here" / "my images"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.BMP").write_bytes(png(9))
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "round").symlink_to(root)
    (root / "empty").mkdir()
    (root / "hidden").mkdir()
    (root / "hidden" / ".gitkeep").touch()
    table = read(spark, Images(folder=folder[0], height=6, width=8, channels=1), folder[1])
    assert table.column("label").classes == ("a", "a-b", "linked")
    assert table.frame.where("sample_id = 'linked/1.BMP'").count() == 1
    empty = {"empty/": "the folder is empty", "hidden/": "the folder is empty"}
    assert dict(table.refused.select("sample_id", "reason").collect()) == ASIDE | empty


@pytest.mark.bad_input
@pytest.mark.parametrize("kind", ["here"])
@pytest.mark.parametrize(("name", "message"), [("lost.png", "leads nowhere"), (b"\xff.png", "not UTF-8")])
def test_a_name_of_which_nothing_can_be_read_is_refused(folder, tmp_path, name, message):
    (tmp_path / "here" / "my images" / "a" / os.fsdecode(name)).symlink_to("nowhere")
    with pytest.raises(BadData, match=message):
        origin_files.locate_all(Images(folder=folder[0], height=6, width=8), folder[1])


@pytest.mark.bad_input
@KINDS
@pytest.mark.parametrize(
    ("source", "fields", "things"),
    [
        (Images, {}, ("a folder of images for each class", "no images")),
        (Video, {"frames": 1}, ("a folder of frames for each clip", "no frames")),
    ],
    ids=["images", "video"],
)
def test_a_missing_or_empty_folder_is_refused(folder, source, fields, things):
    where = folder[0].rstrip("/")
    with pytest.raises(BadData, match=f"no such folder in .*; data.source.folder holds {things[0]}"):
        Inputs.of(source(folder=f"{where}s", height=6, width=8, **fields), folder[1])
    with pytest.raises(BadData, match=rf"{things[1]} in it; expected <c"):
        Inputs.of(source(folder=f"{where}/a-b", height=6, width=8, **fields), folder[1])


@pytest.fixture
def hadoop(spark, tmp_path, monkeypatch):
    """The URL of a folder on a Hadoop file system that nobody in this process has accessed yet."""
    put(tmp_path / "disk")
    configuration = spark.sparkContext._jsc.hadoopConfiguration()
    configuration.set("fs.viewfs.mounttable.raw.link./data", (tmp_path / "disk").as_uri())
    monkeypatch.delitem(_registry, "viewfs", raising=False)
    return "viewfs://raw/data"


def test_images_on_a_hadoop_file_system_are_prepared_and_again_when_one_changed(hadoop, settings, tmp_path):
    source = {"name": "images", "folder": hadoop, "height": 6, "width": 8, "channels": 1}
    recipe = located(tmp_path, data={"source": source, "steps": [{"split": {"by": "hash", "test": 0.5}}]})
    first = prepare.prepare(recipe, settings, say=quiet)
    assert sum(first.rows.values()) == 4
    names = [file.name for file in Dataset.open(first.path, settings.store).manifest.source.files]
    assert sorted(names) == sorted(f"{hadoop}/{name}" for name in (*NAMES, *MORE))
    assert prepare.prepare(recipe, settings, say=quiet).reused
    (tmp_path / "disk" / "a" / "f0.png").write_bytes(png(77) + b"longer")
    assert prepare.prepare(recipe, settings, say=quiet).version != first.version

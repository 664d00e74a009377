import numpy as np
import pytest
from PIL import Image

from pipelines.sources.images import Images
from tests.pipelines.made import rows_of
from tracking.faults import BadData


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "my pictures"
    for name, colour in (("cats", (200, 0, 0)), ("dogs", (0, 0, 200))):
        (root / name).mkdir(parents=True)
        for at in range(3):
            Image.new("RGB", (20 + at, 10), colour).save(root / name / f"{at}.png")
    return root


def source(folder, **fields):
    return Images(**{"folder": str(folder), "height": 4, "width": 6, **fields})


def read(spark, folder, **fields):
    made = source(folder, **fields)
    return made.read(spark, {file.name: file.name for file in made.origin_files()}, 0)


def test_each_folder_is_a_class(spark, folder):
    table = read(spark, folder)
    rows = rows_of(table, "sample_id", "label", "image")
    assert [(name, label) for name, label, _ in rows] == [
        *((f"cats/{at}.png", 0) for at in range(3)),
        *((f"dogs/{at}.png", 1) for at in range(3)),
    ]
    image = np.frombuffer(rows[0][2], np.uint8).reshape(table.columns[0].shape)
    assert image.shape == (3, 4, 6)
    assert image[0].mean() == 200
    assert table.columns[1].classes == ("cats", "dogs")


@pytest.mark.bad_input
def test_what_is_no_picture_is_put_aside_with_its_name(spark, folder):
    (folder / "cats" / "empty.png").write_bytes(b"")
    (folder / "cats" / "text.jpg").write_text("hello")
    whole = (folder / "dogs" / "0.png").read_bytes()
    (folder / "dogs" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "cats" / "notes.txt").write_text("is not looked at")
    table = read(spark, folder)
    assert len(rows_of(table, "sample_id")) == 6
    assert {row.sample_id: row.reason for row in table.refused.collect()} == {
        "cats/empty.png": "the file is empty",
        "cats/text.jpg": "no whole PNG or JPEG",
        "dogs/cut.png": "no whole PNG or JPEG",
    }


@pytest.mark.security
def test_a_bomb_is_not_unfolded(folder, monkeypatch):
    monkeypatch.setattr("pipelines.sources.images.MOST_PIXELS", 100)
    with pytest.raises(ValueError, match="more than 100 pixels"):
        source(folder).pixels(str(folder / "cats" / "0.png"))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16", "1"])
def test_pictures_of_any_kind_become_of_one(folder, mode):
    path = folder / "cats" / ("odd.jpg" if mode == "CMYK" else "odd.png")
    Image.new(mode, (9, 9)).save(path)
    for channels in (1, 3):
        assert source(folder, channels=channels).pixels(str(path)).shape == (channels, 4, 6)


def test_a_picture_is_turned_upright(folder):
    picture = Image.new("RGB", (20, 10))
    picture.paste((255, 255, 255), (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 3  # taken upside down
    picture.save(folder / "cats" / "turned.jpg", exif=exif, quality=100)
    found = source(folder, height=10, width=20, resize="stretch").pixels(str(folder / "cats" / "turned.jpg"))
    assert found[:, :, 15].mean() > 200 > found[:, :, 4].mean() + 100


def test_a_crop_keeps_proportions_and_a_stretch_takes_all(folder):
    picture = Image.new("L", (30, 10))
    picture.paste(255, (0, 0, 10, 10))
    picture.save(folder / "cats" / "wide.png")
    path = str(folder / "cats" / "wide.png")
    assert source(folder, channels=1, height=10, width=10).pixels(path).mean() < 10
    assert source(folder, channels=1, height=10, width=10, resize="stretch").pixels(path).mean() > 60


@pytest.mark.bad_input
def test_a_folder_without_pictures_is_told_with_what_was_expected(tmp_path):
    with pytest.raises(BadData, match="no such folder"):
        source(tmp_path / "none").origin_files()
    with pytest.raises(BadData, match=r"expected <class>/<name>"):
        source(tmp_path).origin_files()

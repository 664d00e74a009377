import random

import pytest
import yaml
from PIL import Image

from millstream.experiments.draft.own_data import drafted
from millstream.pipelines import prepare
from millstream.tracking.errors import BadData
from millstream.tracking.recipe.loader import load

DRAW = random.Random(0)


def draft(folder, patch):
    patch.chdir(folder)
    file, found = drafted("mine")
    located = load(str(file))
    assert [*located.faults, *prepare.faults(located)] == []
    return yaml.safe_load(file.read_text())["data"]["source"], found


def images(folder, mode="RGB", size=(40, 40), count=12):
    for name in ("cats", "dogs"):
        (folder / "mine" / name).mkdir(parents=True)
        for at in range(count):
            colour = (200, 90, 10 * at) if mode == "RGB" else 10 * at
            Image.new(mode, size, colour).save(folder / "mine" / name / f"{at}.png")


@pytest.mark.parametrize(
    ("mode", "size", "expected"),
    [("RGB", (40, 40), (32, 3)), ("L", (28, 28), (28, 1)), ("RGB", (640, 480), (64, 3)), ("L", (4, 4), (8, 1))],
)
def test_images_have_a_size_and_colours(tmp_path, monkeypatch, mode, size, expected):
    images(tmp_path, mode, size)
    source, found = draft(tmp_path, monkeypatch)
    assert (source["height"], source["width"], source["channels"]) == (expected[0], *expected)
    assert found.network == "cnn/lenet"


def test_damaged_images_are_a_doubt(tmp_path, monkeypatch):
    images(tmp_path)
    (tmp_path / "mine" / "cats" / "x.png").write_bytes(b"no image")
    assert any("1 of 25 images cannot be read" in doubt for doubt in draft(tmp_path, monkeypatch)[1].doubts)


def test_texts_in_a_folder_for_each_class(tmp_path, monkeypatch):
    for name in ("good", "bad"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for at in range(15):
            (tmp_path / "mine" / name / f"{at}.txt").write_text(f"a {name} film\nof {at} words, " * 5)
    source, found = draft(tmp_path, monkeypatch)
    assert source == {"name": "text", "mode": "folder", "folder": "mine"}
    assert found.network == "cnn/textcnn"


def test_files_of_lines_are_classes(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    for name in ("Greek", "Irish"):
        (tmp_path / "mine" / f"{name}.txt").write_bytes("".join(f"Ná{at}\n" for at in range(40)).encode("latin-1"))
    source, found = draft(tmp_path, monkeypatch)
    assert source["files"] == [{"name": "mine/Greek.txt"}, {"name": "mine/Irish.txt"}]
    assert source["encoding"] == "latin-1"
    assert found.network == "rnn/gru"


@pytest.mark.bad_input
def test_a_folder_that_is_none_of_these_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    with pytest.raises(BadData, match="no file in it"):
        drafted("mine")
    (tmp_path / "mine" / "train" / "cats").mkdir(parents=True)
    with pytest.raises(BadData, match="train/ holds folders, and no files; put the folders of the classes into one"):
        drafted("mine")


@pytest.mark.bad_input
def test_one_class_is_refused(tmp_path, monkeypatch):
    images(tmp_path)
    for file in (tmp_path / "mine" / "dogs").iterdir():
        file.unlink()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadData, match="one class, 'cats'"):
        drafted("mine")

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError

from millstream.pipelines.readers import origin_files
from millstream.pipelines.sources.images import Images
from millstream.tracking.errors import BadData
from tests.pipelines.made import rows_of

pytestmark = pytest.mark.spark


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "my images"
    for name, colour in (("cats", (200, 0, 0)), ("dogs", (0, 0, 200))):
        (root / name).mkdir(parents=True)
        for at in range(3):
            Image.new("RGB", (20 + at, 10), colour).save(root / name / f"{at}.png")
    return root


def source(folder, **fields):
    return Images(**{"folder": str(folder), "height": 4, "width": 6, **fields})


def read(spark, folder, **fields):
    made = source(folder, **fields)
    return made.read(spark, {file.name: Path(file.name) for file in made.listed_files({}, [Path()])}, 0)


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


def test_folders_whose_names_are_one_text_are_one_class(spark, tmp_path):
    for name in ("Caf\u00e9", "Cafe\u0301", "Bar"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / f"{len(name)}.png")
    table = read(spark, tmp_path)
    assert table.columns[1].classes == ("Bar", "Caf\u00e9")
    assert sorted(row[0] for row in rows_of(table, "label")) == [0, 1, 1]


def test_images_that_keep_their_sizes_store_them(spark, folder):
    rows = rows_of(read(spark, folder, height=11, width=21, resize="keep"), "image", "picture_height", "picture_width")
    assert [row[1:] for row in rows] == [(10, 20), (10, 21)] * 2
    assert [np.frombuffer(row[0], np.uint8).reshape(3, 11, 21).any(axis=0).sum() for row in rows] == [200, 210] * 2
    refused = read(spark, folder, height=11, width=21, resize="keep").refused.collect()
    assert {row.sample_id: row.reason for row in refused} == {
        f"{name}/2.png": "is larger than its frame" for name in ("cats", "dogs")
    }


def test_a_limit_takes_the_same_images_each_time_and_keeps_all_classes(spark, folder):
    everything = set(rows_of(read(spark, folder), "sample_id", "label"))
    for limit in (1, 4):
        first, again = (read(spark, folder, limit=limit) for _ in range(2))
        assert rows_of(first, "sample_id", "label") == rows_of(again, "sample_id", "label")
        assert set(rows_of(first, "sample_id", "label")) < everything
        assert first.frame.count() == limit
        assert first.columns[1].classes == ("cats", "dogs")


@pytest.mark.bad_input
def test_what_is_no_image_is_quarantined_with_its_name(spark, folder):
    (folder / "cats" / "empty.png").write_bytes(b"")
    (folder / "cats" / "text.jpg").write_text("hello")
    whole = (folder / "dogs" / "0.png").read_bytes()
    (folder / "dogs" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "cats" / "notes.txt").write_text("no image")
    table = read(spark, folder)
    assert len(rows_of(table, "sample_id")) == 6
    assert {row.sample_id: row.reason for row in table.refused.collect()} == {
        "cats/empty.png": "the file is empty",
        "cats/text.jpg": "not a complete image in a supported format",
        "dogs/cut.png": "not a complete image in a supported format",
        "cats/notes.txt": "is not an image in a supported format",
    }


@pytest.mark.bad_input
def test_a_folder_without_images_is_refused_with_what_was_expected(tmp_path):
    with pytest.raises(BadData, match="no such folder"):
        source(tmp_path / "none").listed_files({}, [Path()])
    with pytest.raises(BadData, match=r"expected <class>/<name>"):
        source(tmp_path).listed_files({}, [Path()])


@pytest.mark.bad_input
def test_images_come_from_one_place_alone():
    with pytest.raises(ValidationError, match="give one of them"):
        Images(height=4, width=6)
    with pytest.raises(ValidationError, match="give one of them"):
        Images(folder="a", parquet={"files": [{"name": "b"}], "image": "jpeg"}, height=4, width=6)


def cells(folder, rows):
    """A table of images of which the left half is one object and the right another, with their masks."""
    (folder / "cells" / "images").mkdir(parents=True)
    (folder / "cells" / "masks").mkdir()
    numbers = np.full((6, 8), 300, np.uint16)
    numbers[:, :4], numbers[0] = 1, 0
    for at in range(3):
        Image.new("L", (8, 6), 10 * at).save(folder / "cells" / "images" / f"c{at}.png")
        Image.fromarray(numbers).save(folder / "cells" / "masks" / f"c{at}.png")
    with (folder / "cells" / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "kind", "part"), *rows])
    return numbers


ROWS = [("c0", "round", "train"), ("c1", "flat", "test"), ("c2", "round", "train")]
TABLE = {"name": "cells/index.csv", "image": "images/{id}.png", "mask": "masks/{id}.png", "label": "kind"}


def read_cells(spark, folder, settings, **fields):
    made = Images(**{"table": {**TABLE, "split": "part"}, "channels": 1, "height": 6, "width": 8, **fields})
    found = origin_files.locate_all(made, settings.model_copy(update={"mirror": folder}))
    return made.read(spark, {file.name: path for file, path in found.items()}, 0)


@pytest.mark.parametrize(("instances", "dtype"), [("semantic", np.uint8), ("labels", np.int32)])
def test_a_table_names_images_masks_classes_and_splits(spark, tmp_path, settings, instances, dtype):
    numbers = cells(tmp_path, ROWS)
    table = read_cells(spark, tmp_path, settings, instances=instances)
    rows = rows_of(table, "sample_id", "split", "label", "image", "mask")
    assert [row[:3] for row in rows] == [
        ("images/c0.png", "train", 1),
        ("images/c1.png", "test", 0),
        ("images/c2.png", "train", 1),
    ]
    assert table.column("label").classes == ("flat", "round")
    assert [set(row[3]) for row in rows] == [{0}, {10}, {20}]
    assert np.dtype(table.column("mask").dtype) == dtype
    mask = np.frombuffer(rows[0][4], dtype).reshape(table.column("mask").shape)
    assert np.array_equal(mask[0], numbers > 0 if instances == "semantic" else numbers)


def test_images_that_a_table_names_count_as_files_of_the_source(tmp_path, settings):
    cells(tmp_path, ROWS[:2])
    made = Images(table=TABLE, height=6, width=8)
    found = origin_files.locate_all(made, settings.model_copy(update={"mirror": tmp_path}))
    assert [file.name for file in found] == [
        "cells/index.csv",
        *(f"cells/{part}/c{at}.png" for part in ("images", "masks") for at in range(2)),
    ]


@pytest.mark.bad_input
def test_a_row_without_its_image_or_mask_is_quarantined(spark, tmp_path, settings):
    rows = [
        *ROWS,
        ("c0", "flat", "train"),
        ("gone", "flat", "train"),
        ("../../secret", "flat", "train"),
        ("c3", "", "train"),
        ("c4", "flat", "later"),
    ]
    cells(tmp_path, rows)
    Image.new("L", (7, 6)).save(tmp_path / "cells" / "masks" / "c1.png")
    (tmp_path / "cells" / "masks" / "c2.png").unlink()
    table = read_cells(spark, tmp_path, settings)
    assert rows_of(table, "sample_id") == [("images/c0.png",)]
    assert {row.sample_id: row.reason for row in table.refused.collect()} == {
        "images/c1.png": "mask: has another size than its image",
        "images/c2.png": "mask: the file cannot be read",
        "images/c0.png#5": "the image is named twice",
        "images/gone.png": "the file cannot be read",
        "line#7": "leads out of the table's folder",
        "images/c3.png#8": "has no label",
        "images/c4.png#9": "its split is none of train, valid, test",
    }


@pytest.mark.bad_input
def test_a_table_without_a_named_column_is_refused(spark, tmp_path, settings):
    cells(tmp_path, ROWS)
    with pytest.raises(BadData, match=r"index\.csv:1: no columns \['colour'\]; the header names"):
        read_cells(spark, tmp_path, settings, table={**TABLE, "label": "colour"})


def jpeg(colour):
    out = io.BytesIO()
    Image.new("RGB", (6, 4), colour).save(out, "JPEG", quality=100)
    return out.getvalue()


@pytest.mark.parametrize("nested", [False, True], ids=["bytes", "records"])
def test_images_held_in_parquet_are_read(spark, tmp_path, nested):
    content = [jpeg((200, 0, 0)), b"", jpeg((0, 0, 200)), None, jpeg((0, 9, 0))]
    path = tmp_path / "train.parquet"
    held = [None if one is None else {"bytes": one, "path": "x"} for one in content] if nested else content
    pd.DataFrame({"jpeg": held, "kind": ["2", "10", "10", "2", None]}).to_parquet(path)
    made = Images(
        parquet={"files": [{"name": "p/train.parquet", "split": "train"}], "image": "jpeg", "label": "kind"},
        height=4,
        width=6,
    )
    table = made.read(spark, {"p/train.parquet": path}, 0)
    rows = rows_of(table, "sample_id", "split", "label", "image")
    assert [row[:3] for row in rows] == [("train.parquet:000000", "train", 0), ("train.parquet:000002", "train", 1)]
    assert table.column("label").classes == ("2", "10")
    assert abs(np.frombuffer(rows[0][3], np.uint8).reshape(3, 4, 6)[0].mean() - 200) < 3
    assert sorted((row.sample_id[-1], row.reason) for row in table.refused.collect()) == [
        ("1", "the file is empty"),
        ("3", "the file is empty"),
        ("4", "has no label"),
    ]
    with pytest.raises(BadData, match=r"no columns \['png'\]"):
        made.model_copy(update={"parquet": made.parquet.model_copy(update={"image": "png"})}).read(
            spark, {"p/train.parquet": path}, 0
        )


def test_images_of_parquet_files_that_share_a_name_have_ids_of_their_own(spark, tmp_path):
    files = {}
    for at, name in enumerate(("a/part.parquet", "b/part.parquet", "a/rest.parquet")):
        files[name] = tmp_path / name
        files[name].parent.mkdir(exist_ok=True)
        pd.DataFrame({"jpeg": [jpeg((100 * at, 0, 0))]}).to_parquet(files[name])
    held = {"files": [{"name": name} for name in files], "image": "jpeg"}
    rows = rows_of(Images(parquet=held, height=4, width=6).read(spark, files, 0), "sample_id", "image")
    assert [name for name, _ in rows] == ["a/part.parquet:000000", "b/part.parquet:000000", "rest.parquet:000000"]
    assert [round(np.frombuffer(image, np.uint8)[:24].mean(), -1) for _, image in rows] == [0, 100, 200]


@pytest.mark.mirror
def test_nuclei_are_read_with_their_masks(spark, settings):
    made = Images(
        table={"name": "dsb2018_nuclei/index.csv", "image": "images/{id}.png", "mask": "instances/{id}.png"},
        channels=1,
        height=96,
        width=96,
        resize="stretch",
    )
    found = origin_files.locate_all(made, settings)
    table = made.read(spark, {file.name: path for file, path in found.items()}, 0)
    assert (len(found), table.frame.count(), table.refused.count()) == (1 + 2 * 664, 664, 0)
    facts = {row["id"]: float(row["foreground_fraction"]) for row in csv.DictReader(next(iter(found.values())).open())}
    shares = [
        (np.frombuffer(mask, np.uint8).mean(), facts[Path(name).stem])
        for name, mask in rows_of(table, "sample_id", "mask")
    ]
    # nearest pixels of a smaller image: the share of nuclei stays that of the published table
    assert np.abs(np.diff(np.array(shares), axis=1)).max() < 0.02


@pytest.mark.mirror
def test_cifar_is_read_from_parquet(spark, settings):
    name = "cifar10/test-00000.parquet"
    made = Images(parquet={"files": [{"name": name}], "image": "jpeg", "label": "class"}, height=32, width=32)
    files = {file.name: path for file, path in origin_files.locate_all(made, settings).items()}
    table = made.read(spark, files, 0)
    counts = {row[0]: row[1] for row in table.frame.groupBy("label").count().collect()}
    assert counts == dict.fromkeys(range(10), 1000)
    first = pd.read_parquet(files[name], columns=["jpeg"]).jpeg[0]
    assert rows_of(table, "image")[0][0] == np.asarray(Image.open(io.BytesIO(first))).transpose(2, 0, 1).tobytes()

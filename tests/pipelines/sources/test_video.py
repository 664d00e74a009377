from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from millstream.pipelines.sources.video import Video
from millstream.tracking.errors import BadData
from tests.pipelines.made import rows_of

pytestmark = pytest.mark.spark


def clip(folder, name, count):
    (folder / name).mkdir(parents=True)
    for at in range(count):
        Image.new("L", (8, 6), at).save(folder / name / f"frame{at}.png")


def read(spark, folder, **fields):
    source = Video(**{"folder": str(folder), "frames": 4, "height": 3, "width": 4, "channels": 1, **fields})
    return source.read(spark, {file.name: Path(file.name) for file in source.listed_files({}, [Path()])}, 0)


def test_windows_have_their_frames_in_order(spark, tmp_path):
    clip(tmp_path, "a", 12)
    table = read(spark, tmp_path, stride=3)
    rows = rows_of(table, "sample_id", "clip", "frames")
    assert [row[:2] for row in rows] == [("a/000000", "a"), ("a/000003", "a"), ("a/000006", "a")]
    windows = [np.frombuffer(row[2], np.uint8).reshape(4, 1, 3, 4) for row in rows]
    # 9 before 10: by value, not by letters
    assert [window[:, 0, 0, 0].tolist() for window in windows] == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert len(rows_of(read(spark, tmp_path), "sample_id")) == 3


@pytest.mark.bad_input
def test_a_short_clip_or_a_broken_frame_is_quarantined(spark, tmp_path):
    clip(tmp_path, "a", 8)
    clip(tmp_path, "b", 3)
    (tmp_path / "a" / "frame5.png").write_bytes(b"")
    table = read(spark, tmp_path)
    assert rows_of(table, "sample_id") == [("a/000000",)]
    assert {row.sample_id: row.reason for row in table.refused.collect()} == {
        "a/000004": "a frame: the file is empty",
        "b/000000": "the clip has fewer than 4 frames",
    }


@pytest.mark.bad_input
def test_a_folder_without_frames_is_refused(spark, tmp_path):
    with pytest.raises(BadData, match=r"expected <clip>/<name>"):
        read(spark, tmp_path)

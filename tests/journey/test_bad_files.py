"""Images, texts and series as they come: what does not fit is quarantined, counted with its reason, or refused."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from millstream.pipelines import prepare
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData
from millstream.tracking.recipe.loader import load
from millstream.tracking.verification.verify import verify

pytestmark = [pytest.mark.spark, pytest.mark.bad_input]
SPLIT = {"split": {"by": "hash", "test": 0.2}}


def prepared(folder, settings, source, *steps):
    file = folder / "mine.yaml"
    data = {"name": "mine", "source": source, "steps": list(steps)}
    file.write_text(yaml.safe_dump({"about": "a test", "data": data}, sort_keys=False))
    made = prepare.prepare(load(str(file)), settings, say=lambda message: None)
    dataset = Dataset.open(made.path, settings.store)
    assert verify(dataset) == []
    return dataset


def aside(dataset):
    """The reason of each sample that was quarantined."""
    rows = pq.read_table(dataset.folder / "quarantine").to_pylist()
    reasons = [row["reason"] for row in rows]
    assert dataset.manifest.quarantine == {reason: reasons.count(reason) for reason in sorted(set(reasons))}
    return {row["sample_id"]: row["reason"] for row in rows}


def kept(dataset, column="sample_id"):
    return [
        value
        for split in dataset.manifest.splits
        for shard in dataset.shards(split)
        for value in pq.read_table(dataset.verified(shard), columns=[column]).column(0).to_pylist()
    ]


def encoded(image, form="PNG", **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def bomb():
    """A PNG whose header has 60,000 x 60,000 pixels, in some hundred bytes."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    pieces = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in body)
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces)


def ico(content):
    """An icon whose header has 16 x 16 pixels, whatever the header of its image."""
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(content), 22) + content


def noise(mode="RGB", size=(9, 9)):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 4), np.uint8), "RGBA").convert(mode)


NO_IMAGES = {
    "empty.png": (b"", "the file is empty"),
    "text.png": (b"hello", "not a complete image in a supported format"),
    "cut.png": (encoded(noise(size=(50, 50)))[:900], "not a complete image in a supported format"),
    "cut.jpg": (encoded(noise(size=(50, 50)), "JPEG")[:700], "not a complete image in a supported format"),
    "nested.ico": (ico(bomb()), "more than 100,000,000 pixels"),
    "fractions.tiff": (encoded(noise("F"), "TIFF"), "holds fractions; expected whole numbers"),
    "notes.txt": (b"hello", "is not an image in a supported format"),
    "bomb.png": (bomb(), "more than 100,000,000 pixels"),
    "script.jpg": (b"<svg onload=alert(1)>", "not a complete image in a supported format"),
}
IMAGES = {
    "other-ending.jpg": encoded(noise()),
    "one.png": encoded(noise(size=(1, 1))),
    "cmyk.jpg": encoded(noise("CMYK"), "JPEG"),
    "palette.png": encoded(noise("P")),
    "sixteen.png": encoded(Image.fromarray(np.full((9, 9), 40_000, np.uint16))),
    "alpha.png": encoded(noise("RGBA")),
    "film.png": encoded(noise("P"), save_all=True, append_images=[noise("P")]),
    "film.jpg": encoded(noise("P"), "GIF", save_all=True, append_images=[noise("P")]),
    "no ending": encoded(noise(), "BMP"),
    "UPPER.TIF": encoded(noise(), "TIFF"),
    "<b>'$(touch owned)`.png": encoded(noise()),
}


def test_each_file_that_is_no_image_is_quarantined_with_its_name(spark, tmp_path, settings, monkeypatch):
    monkeypatch.chdir(tmp_path)
    contents = IMAGES | {name: content for name, (content, _) in NO_IMAGES.items()}
    for kind in ("cats", "dogs"):
        (tmp_path / "pets" / kind).mkdir(parents=True)
        for name, content in contents.items():
            (tmp_path / "pets" / kind / name).write_bytes(content)
    dataset = prepared(tmp_path, settings, {"name": "images", "folder": "pets", "height": 8, "width": 8}, SPLIT)
    expected = {f"{kind}/{name}": why for kind in ("cats", "dogs") for name, (_, why) in NO_IMAGES.items()}
    assert aside(dataset) == expected
    assert sorted(kept(dataset)) == sorted(f"{kind}/{name}" for kind in ("cats", "dogs") for name in IMAGES)
    assert not os.path.lexists(tmp_path / "owned")


def test_a_mask_of_another_size_than_its_image_is_quarantined(spark, tmp_path, settings, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, size in {"a": (9, 9), "b": (9, 9), "c": (9, 9), "d": (8, 9)}.items():
        (tmp_path / f"{name}.png").write_bytes(encoded(noise("L")))
        (tmp_path / f"{name}-mask.png").write_bytes(encoded(noise("L", size)))
    (tmp_path / "index.csv").write_text("id\na\nb\nc\nd\n../../etc/passwd\n")
    table = {"name": "index.csv", "image": "{id}.png", "mask": "{id}-mask.png"}
    source = {"name": "images", "table": table, "height": 8, "width": 8, "channels": 1}
    dataset = prepared(tmp_path, settings, source, {"split": {"by": "hash"}})
    assert set(aside(dataset).values()) == {
        "mask: has another size than its image",
        "leads out of the table's folder",
    }
    assert sorted(kept(dataset)) == ["a.png", "b.png", "c.png"]


NO_TEXTS = {
    "an empty line": (b"", "is empty"),
    "blanks": (" \t\u3000".encode(), "is empty"),
    "a NUL byte": (b"a\0b", "holds a NUL byte"),
    "control characters": (b"a\x1b[2Jb", "holds control characters"),
    "no utf-8": (b"Gr\xe4z", "is not UTF-8"),
    "a line of 1 MB": (b"x" * (1 << 20), "is longer than 100000 characters"),
}
TEXTS = [
    "שלום עולם",
    "مرحبا \u200fبكم",
    "e\u0301 \u00e9",
    "👩‍👩‍👧‍👦 🇦🇹",
    "<script>alert(1)</script>",
    "'); DROP TABLE x --",
]


def test_each_line_that_is_no_text_is_quarantined_with_its_number(spark, tmp_path, settings):
    lines = [*(text.encode() for text in TEXTS * 5), *(line for line, _ in NO_TEXTS.values()), b"end"]
    (tmp_path / "rows.txt").write_bytes(b"\n".join(lines))
    (tmp_path / "more.txt").write_bytes("\n".join(TEXTS * 5).encode())
    files = [{"name": str(tmp_path / name)} for name in ("rows.txt", "more.txt")]
    tokens = {"tokenize": {"columns": ["text"], "by": "words"}}
    dataset = prepared(tmp_path, settings, {"name": "text", "files": files}, SPLIT, tokens)
    assert aside(dataset) == {f"rows.txt:{31 + at}": why for at, (_, why) in enumerate(NO_TEXTS.values())}
    assert set(kept(dataset, "text")) == {*TEXTS, "end"}


def test_two_languages_of_unequal_length_are_refused(spark, tmp_path, settings):
    (tmp_path / "a.de").write_text("eins\nzwei\ndrei\n")
    (tmp_path / "a.en").write_text("one\ntwo\n")
    pair = {"source": {"name": str(tmp_path / "a.de")}, "target": {"name": str(tmp_path / "a.en")}}
    with pytest.raises(BadData, match=r"a\.de: 3 lines, and .*a\.en has 2"):
        prepared(tmp_path, settings, {"name": "text", "mode": "parallel", "pairs": [pair]}, SPLIT)


HOURS = [f"2020-01-{1 + at // 24:02d} {at % 24:02d}:00,{at},{at / 2}" for at in range(60)]
NO_SERIES = {
    "a gap": ([*HOURS[:20], *HOURS[23:]], r"2020-01-01 23:00: a gap: 4h after the row before"),
    "another frequency": ([HOURS[0], "2020-01-01 00:15,1,1", *HOURS[1:]], "00:15: 15min after the row before"),
    "shorter than a window": (HOURS[:4], "no series has 6 steps, the longest 4"),
    "no time at all": ([line.replace("2020", "soon") for line in HOURS], "no series has 6 steps"),
    "another column of times": ([], r"s\.csv.*only a header"),
}
SERIES = {"name": "series", "time": "when", "frequency": "1h", "window": 6, "columns": {"load": {}, "heat": {}}}
WINDOWS = [
    {"split": {"by": "time", "time": "time", "test": 0.4}},
    {"window": {"time": "time", "look_back": 4, "horizon": 2}},
]


def series(folder, lines):
    (folder / "s.csv").write_text("\n".join(["when,load,heat", *lines]) + "\n")
    return SERIES | {"files": [{"name": str(folder / "s.csv")}]}


@pytest.mark.parametrize("case", NO_SERIES)
def test_a_series_that_does_not_fit_is_refused_with_its_place(spark, tmp_path, settings, case):
    lines, message = NO_SERIES[case]
    with pytest.raises(BadData, match=message):
        prepared(tmp_path, settings, series(tmp_path, lines), *WINDOWS)
    assert not list((settings.home / "datasets").rglob("*.parquet"))


def test_steps_in_any_order_are_sorted_and_those_that_come_again_quarantined(spark, tmp_path, settings):
    again = ["2020-01-01 03:00,99,99", "soon,1,1", ",1,1", "2020-01-01 04:00,,1"]
    dataset = prepared(tmp_path, settings, series(tmp_path, [*HOURS[30:], *HOURS[:30], *again]), *WINDOWS)
    assert aside(dataset) == {
        "s.csv:62": "its time comes twice",
        "s.csv:63": "its time cannot be read",
        "s.csv:64": "when is missing",
        "s.csv:65": "load is missing",
    }
    blocks = [np.frombuffer(one, "<f4").reshape(-1, 2)[:, 0] for one in kept(dataset, "series")]
    seen = {float(load) for block in blocks for load in block if load}
    assert seen == set(range(1, 60))

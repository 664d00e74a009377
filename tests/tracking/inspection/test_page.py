"""The page shows what is in the data, whatever is in the data."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from millstream.tracking.dataset.manifest import Check, File, Source
from millstream.tracking.dataset.records import Column, Step
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.inspection import page
from millstream.tracking.inspection.look import look_at
from tests.datasets import make_dataset
from tests.training.signatures import image, number, tokens

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}</style>&amp;"


class Read(HTMLParser):
    """Elements with their attributes, and the text by the element that it stands in."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.inside = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("img", "meta"):  # these have no end
            self.inside.append(tag)

    def handle_endtag(self, tag):
        self.inside.pop()

    def handle_data(self, text):
        self.texts.append((self.inside[-1] if self.inside else "", text))

    def shown(self):
        return " ".join(text for tag, text in self.texts if tag != "style")

    def attributes(self, tag, name):
        return [found.get(name) for one, found in self.elements if one == tag]


def label(*classes):
    return Column(name="label", dtype="int64", role="target", meaning="category", classes=classes)


def images(folder):
    values = np.zeros((4, 1, 8, 8), np.uint8)
    values[:, 0, 2:4] = 200
    mask = Column(
        name="mask", dtype="uint8", layout="tensor", shape=(1, 8, 8), axes="CHW", role="target", meaning="mask"
    )
    held = {"image": values, "mask": (values > 0).astype(np.uint8), "label": [0, 1, 0, 1]}
    return make_dataset(folder, {"train": held}, (image(1, 8, 8), mask, label("cat", "dog")))


def hostile(folder):
    columns = (
        number(HOSTILE).model_copy(update={"unit": HOSTILE}),
        Column(name="text", dtype="string", role="key", meaning="text"),
        tokens(2, 3).model_copy(update={"vocabulary": ("(pad)", "(unknown)", HOSTILE)}),
        label(HOSTILE, "b"),
    )
    values = {
        "sample_id": ["x", "x2", HOSTILE],
        "parent_id": [None, None, "x"],
        "op": [None, None, HOSTILE],
        HOSTILE: [1.0, 2.0, 3.0],
        "text": [HOSTILE] * 3,
        "tokens": [[2, 2], [2], [1]],
        "label": [0, 1, 0],
    }
    return make_dataset(
        folder,
        {"train": values},
        columns,
        name="odd",
        source=Source(
            name=HOSTILE, config={}, licence=HOSTILE, origin=HOSTILE, files=(File(name=HOSTILE, sha256="", bytes=1),)
        ),
        steps=(
            Step(
                name=HOSTILE,
                version=1,
                config={HOSTILE: HOSTILE},
                learned={HOSTILE: [HOSTILE]},
                rows_in=1,
                rows_out=1,
                seconds=0,
            ),
        ),
        checks=(Check(name=HOSTILE, ok=False, figures={HOSTILE: HOSTILE}),),
        quarantine={HOSTILE: 3},
    )


@pytest.mark.security
def test_nothing_of_the_data_is_ever_run(tmp_path):
    text = page.html(look_at(hostile(tmp_path)))
    read = Read(text)
    assert not {tag for tag, _ in read.elements} & {"script", "iframe", "object", "embed", "link", "base", "form", "a"}
    names = {name for _, attributes in read.elements for name in attributes}
    assert not [name for name in names if name.startswith("on") or name in ("style", "href", "srcset", "action")]
    assert all(source.startswith("data:image/png;base64,") for source in read.attributes("img", "src"))
    assert read.shown().count(HOSTILE) > 12
    assert "49" not in read.shown()


@pytest.mark.security
def test_a_policy_in_the_page_forbids_all_but_its_own_style(tmp_path):
    text = page.html(look_at(images(tmp_path)))
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [one for one in Read(text).attributes("meta", "content") if "default-src" in (one or "")]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def test_images_are_shown_by_class_and_again_under_their_masks(tmp_path):
    read = Read(page.html(look_at(images(tmp_path))))
    sources = [one.partition(",")[2] for one in read.attributes("img", "src")]
    assert len(sources) == 8
    drawn = [np.asarray(Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB")) for one in sources[:2]]
    assert drawn[0].shape == (8, 8, 3)
    assert drawn[0][2, 0].tolist() == [200] * 3
    assert drawn[0][0, 0].tolist() == drawn[1][0, 0].tolist() == [0] * 3
    assert drawn[1][2, 0, 0] > drawn[1][2, 0, 2] + 50
    assert {"cat", "dog"} <= {text for tag, text in read.texts if tag == "bdi"}


def test_series_are_curves_and_tokens_are_texts(tmp_path):
    series = Column(
        name="series", dtype="float32", layout="tensor", shape=(5, 2), axes="TC", role="input", meaning="series"
    )
    values = {"series": np.arange(20.0).reshape(2, 5, 2), "tokens": [[2, 3], [3]]}
    read = Read(page.html(look_at(make_dataset(tmp_path, {"train": values}, (series, tokens(2, 4))))))
    lines = [one for one in read.attributes("polyline", "points") if one and one.count(" ") == 4]
    assert len(lines) == 4
    heights = [float(point.split(",")[1]) for point in lines[0].split()]
    assert heights == sorted(heights, reverse=True)
    marked = [text for tag, text in read.texts if tag == "span" and text in ("a", "b")]
    assert marked in (["a", "b", "b"], ["b", "a", "b"])


def test_a_changed_row_of_a_table_shows_what_differs(tmp_path):
    values = {
        "sample_id": ["p", "c"],
        "parent_id": [None, "p"],
        "op": [None, '{"op": "smote"}'],
        "a": [1.0, 1.5],
        "b": [7.0, 7.0],
    }
    read = Read(page.html(look_at(make_dataset(tmp_path, {"train": values}, (number("a"), number("b"))))))
    shown = read.shown()
    assert "smote" in shown
    (changes,) = [at for at, (tag, found) in enumerate(read.elements) if found.get("class") == "changes"]
    assert [tag for tag, _ in read.elements[changes:]].count("tr") >= 1
    assert re.search(r"a\s+1\s+→\s+1\.5", shown)
    assert not re.search(r"b\s+7\s+→", shown)


def test_the_page_states_what_its_figures_are_from(tmp_path):
    dataset = make_dataset(tmp_path, {"train": {"a": np.arange(100.0)}}, (number("a"),), shard_rows=10)
    assert "Figures are from all rows." in page.html(look_at(dataset))
    some = page.html(look_at(dataset, most_bytes=1))
    assert "Figures are from 1 of 10 shards of train." in some


@pytest.mark.bad_input
def test_a_page_that_cannot_be_written_is_refused_with_its_place(tmp_path):
    look = look_at(images(tmp_path))
    with pytest.raises(WrongRecipe, match=r"--html .*nowhere/page\.html: cannot be written"):
        page.write(look, tmp_path / "nowhere" / "page.html")
    page.write(look, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")

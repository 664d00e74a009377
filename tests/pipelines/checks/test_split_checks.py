"""The leakage proof against its definition, row by row, and on data that really leak."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from PIL import Image

from millstream.pipelines import prepare
from millstream.pipelines.checks import split_checks
from millstream.pipelines.steps.split import Split
from millstream.tracking.dataset.records import Column
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData
from millstream.tracking.recipe.loader import load
from tests.pipelines.made import CITY, LABEL, NUMBER, TEXT, image, table

pytestmark = pytest.mark.spark
TIME = Column(name="time", dtype="datetime64[us]", role="key", meaning="number")
SPLITS = st.sampled_from(["train", "valid", "test"])
OPS = [None, json.dumps({"op": "smote", "neighbour": 'ä "1'}), json.dumps({"op": "mixup", "partner": "b"})]
ROWS = st.lists(
    st.tuples(st.sampled_from(["a", "b", 'ä "1', "c"]), SPLITS, st.sampled_from(OPS)), min_size=1, max_size=20
)


def figures(found):
    return {check.name: check.figures for check in found}


def refused(found):
    return {check.name for check in found if not check.ok}


@examples(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS)
def test_leaks_are_counted_by_their_definition(spark, drawn):
    rows = [
        {"sample_id": name if op is None else f"{name}+{at}", "parent_id": None if op is None else name, "op": op}
        | {"split": split, "wind": float(len(name))}
        for at, (name, split, op) in enumerate(drawn)
    ]
    found = figures(split_checks.leakage(table(spark, rows, NUMBER)))
    frame = pd.DataFrame(rows)
    family = frame.parent_id.fillna(frame.sample_id)
    made = frame[frame.op.notna()]
    partners = {json.loads(op).get("neighbour", json.loads(op).get("partner")) for op in made.op}
    where = frame.groupby("sample_id").split.agg(set).to_dict()
    assert found["sample ids are unique"] == {"doubled": int((frame.sample_id.value_counts() > 1).sum())}
    assert found["no sample or parent in two splits"] == {
        "shared": int((frame.groupby(family).split.nunique() > 1).sum())
    }
    assert found["nothing synthetic outside train"] == {"synthetic": int((made.split != "train").sum())}
    assert found["equal inputs in two splits"] == {"contents": int((frame.groupby("wind").split.nunique() > 1).sum())}
    if frame.sample_id.is_unique:
        splits = [next(iter(where.get(one, {"gone"}))) for one in {*made.parent_id, *partners}]
        elsewhere = sum(split in ("valid", "test") for split in splits)
        expected = {"train": splits.count("train"), "elsewhere": elsewhere, "left out since": splits.count("gone")}
        assert found["what is synthetic was made from train"] == expected


def test_a_neighbour_outside_train_stops_the_publishing(spark):
    op = json.dumps({"op": "augment", "before": {"op": "smote", "neighbour": "t"}})
    rows = [
        {"sample_id": "a", "split": "train"},
        {"sample_id": "t", "split": "test"},
        {"sample_id": "a+1", "parent_id": "a", "op": op, "split": "train"},
    ]
    found = split_checks.leakage(table(spark, [{**row, "wind": 1.0} for row in rows], NUMBER))
    assert refused(found) == {"what is synthetic was made from train"}
    with pytest.raises(BadData, match=r"'elsewhere': 1.*make them of train, after the split"):
        split_checks.refuse(found)


def split_into(spark, days, **fields):
    """Rows that stand on these days of each split, whatever the step would have done."""
    rows = [
        {"time": pd.Timestamp("2020-01-01") + pd.Timedelta(days=day), "split": split}
        for split, all_days in days.items()
        for day in all_days
    ]
    return split_checks.splitting(table(spark, rows, TIME), Split(by="time", time="time", **fields))


@pytest.mark.parametrize(
    ("days", "gap", "least", "ok"),
    [
        ({"train": [0, 4], "valid": [5], "test": [9, 12]}, 0, "1 days", True),
        ({"train": [0, 4], "test": [9, 12]}, 5, "5 days", True),
        ({"train": [0, 4], "valid": [6], "test": [9]}, 2.5, "2 days", False),
        ({"train": [0, 5], "test": [5, 7]}, 0, "0 days", False),
        ({"train": [6, 8], "test": [1, 2]}, 0, "-7 days", False),
    ],
)
def test_splits_by_time_have_to_follow_each_other_with_the_gap(spark, days, gap, least, ok):
    (found,) = split_into(spark, days, gap=gap, test=0.1)
    assert (found.ok, found.figures["least gap"]) == (ok, least)
    assert found.figures["train"][0] == f"2020-01-0{1 + days['train'][0]}T00:00:00+00:00"


@examples(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 400), min_size=8, max_size=30, unique=True), st.sampled_from([0.0, 3.0]))
def test_a_split_by_time_keeps_its_order_and_gap(spark, hours, gap):
    rows = [{"time": pd.Timestamp("2020-01-01") + pd.Timedelta(hours=hour)} for hour in hours]
    step = Split(by="time", time="time", valid=0.2, test=0.2, gap=gap)
    after = step.apply(table(spark, rows, TIME), {}, 1)
    (found,) = split_checks.splitting(after, step)
    assert found.ok, found.figures


def test_groups_that_the_source_splits_are_reported(spark):
    rows = [{"city": city, "split": split} for city, split in (("Graz", "train"), ("Graz", "test"), ("Oslo", "test"))]
    (found,) = split_checks.splitting(table(spark, rows, CITY), Split(by="given", key="city"))
    assert (found.ok, found.figures) == (False, {"key": "city", "groups": 2, "shared": 1})


def test_a_step_has_to_learn_from_all_train_rows_and_no_others():
    good, more = split_checks.Fit("scale", seen=8, train=8), split_checks.Fit("encode", seen=10, train=8)
    idle = split_checks.Fit("split", seen=0, train=0)
    assert split_checks.fits([idle, good]).ok
    found = split_checks.fits([idle, good, more])
    assert not found.ok
    assert found.figures == {"2. scale": {"seen": 8, "train": 8}, "3. encode": {"seen": 10, "train": 8}}


def jpeg(pixels, quality):
    """The image saved again, as bytes of (3, H, W)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB")).transpose(2, 0, 1).tobytes()


def images(count=12):
    """Smooth images of a few blots each."""
    draw, (row, column) = np.random.default_rng(3), np.mgrid[:24, :24]
    for _ in range(count):
        blots = [
            draw.uniform(60, 255, 3) * np.exp(-(((row - y) ** 2 + (column - x) ** 2) / 18)[..., None])
            for y, x in draw.uniform(3, 21, (5, 2))
        ]
        yield np.clip(sum(blots), 0, 255).astype(np.uint8)


def test_an_image_saved_again_in_another_split_is_reported(spark, monkeypatch):
    rows = [
        {"sample_id": f"s{at:02}", "image": pixels.transpose(2, 0, 1).tobytes(), "split": "train" if at else "valid"}
        for at, pixels in enumerate(images())
    ]
    again = [{"sample_id": f"t{at}", "image": jpeg(list(images())[at], 60), "split": "test"} for at in (3, 5)]
    frame = table(spark, [*rows, *again], image(3, 24, 24), LABEL)
    near = figures(split_checks.leakage(frame))["nearly equal inputs in train and another split"]
    assert near == {"column": "image", "test": 2, "such as": ["t3 ~ s03"]}
    assert "to look at: nearly equal" in "\n".join(split_checks.summary(split_checks.leakage(frame)))
    monkeypatch.setattr(split_checks, "COMPARED", 13)
    near = figures(split_checks.leakage(frame))["nearly equal inputs in train and another split"]
    assert near == {
        "column": "image",
        "left out": "14 rows, and more than 13 are compared by the step decontaminate alone",
    }


def test_a_text_with_another_ending_in_another_split_is_reported(spark):
    texts = [
        ("train", "The quick brown fox jumps over it"),
        ("test", "the quick brown fox jumps over it."),
        ("test", "no"),
        ("valid", "THE QUICK brown fox jumps over it"),
        ("test", "and another one that nobody trains on"),
        ("test", "And another one that nobody trains on"),
        ("train", "twice in train, and nowhere else"),
        ("train", "twice in train, and nowhere else!"),
    ]
    frame = table(spark, [{"split": split, "text": text} for split, text in texts], TEXT)
    near = figures(split_checks.leakage(frame))["nearly equal inputs in train and another split"]
    assert near == {"column": "text", "valid": 1, "test": 1, "such as": ["s3 ~ s0", "s1 ~ s0"]}


GIVEN = """about: a test
data:
  name: visits
  source:
    name: table
    files: [{{name: {train}, split: train}}, {{name: {test}, split: test}}]
    columns: {{patient: {{type: string, role: key}}, pulse: {{type: double}}, ill: {{type: string, role: target}}}}
  steps:
    - split: {{by: given, key: patient}}
    - encode: {{columns: [ill]}}
    - scale: {{column: pulse, method: standard}}
"""


def visits(folder, **patients):
    """A recipe of one file a split, with these patients in it."""

    for split, names in patients.items():
        rows = [f"{name},{60 + at},{'yn'[at % 2]}" for at, name in enumerate(names)]
        (folder / f"{split}.csv").write_text("\n".join(["patient,pulse,ill", *rows]) + "\n")
    path = folder / "recipe.yaml"
    path.write_text(GIVEN.format(train=folder / "train.csv", test=folder / "test.csv"))
    return load(str(path))


def test_patients_in_two_given_splits_are_refused_and_nothing_is_published(settings, tmp_path, spark):
    located = visits(tmp_path, train=["ann", "bob", "cy", "dan"], test=["eve", "bob"])
    with pytest.raises(BadData, match=r"no group in two splits: .*'shared': 1.*split by: hash"):
        prepare.prepare(located, settings, say=lambda message: None)
    assert not list(settings.home.rglob("manifest.json"))


def test_the_manifest_holds_the_proof_with_its_figures(settings, tmp_path, spark):
    messages = []
    located = visits(tmp_path, train=["ann", "bob", "cy", "dan"], test=["eve", "flo"])
    prepared = prepare.prepare(located, settings, say=messages.append)
    found = figures(Dataset.open(prepared.path, settings.store).manifest.checks)
    assert found["no group in two splits"] == {"key": "patient", "groups": 6, "shared": 0}
    assert found["statistics are fitted on train"] == {
        "2. encode": {"seen": 4, "train": 4},
        "3. scale": {"seen": 4, "train": 4},
    }
    assert "leakage: 6 of 6 checks hold" in messages
    assert "to look at: equal inputs in two splits: contents 2" in messages


def test_classes_that_look_alike_are_counted_by_column():
    column = Column(name="city", dtype="int64", role="input", meaning="category", classes=("Graz", "Wien", "graz"))
    found = list(split_checks.alike_classes([column], ()))
    assert [check.figures for check in found] == [{"column": "city", "classes": 2, "such as": ["'Graz' ~ 'graz'"]}]
    assert "classes that look alike: column city, classes 2" in "\n".join(split_checks.summary(found))
    assert list(split_checks.alike_classes([column.model_copy(update={"classes": ("Graz", "Wien")})], ())) == []

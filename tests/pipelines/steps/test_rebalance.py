import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.utils.class_weight import compute_class_weight

from millstream.pipelines.steps import rebalance
from millstream.pipelines.steps.encode import Encode
from millstream.pipelines.steps.rebalance import Count, Ratio, Rebalance, class_weights
from millstream.tracking.augmentations.image import along
from millstream.tracking.augmentations.op import through
from millstream.tracking.augmentations.table import changes as noisy
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from millstream.tracking.serving.columns import UNKNOWN_CLASS
from tests.pipelines.made import CITY, LABEL, NUMBER, TEXT, image, rows_of, table
from tests.training.signatures import target

pytestmark = pytest.mark.spark
COUNTS = {"a": 20, "b": 7, "c": 3}


def made(spark, partitions=None):
    rows = [{"wind": float(at), "label": label} for label, count in COUNTS.items() for at in range(count)]
    return table(spark, rows, NUMBER, LABEL, partitions=partitions)


def balanced(spark, partitions=None, **fields):
    step, before = Rebalance(**fields), made(spark, partitions)
    return step.apply(before, step.fit(before, 1), 1)


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("uniform", {"a": 20, "b": 20, "c": 20}),
        (Count(count=9), {"a": 20, "b": 9, "c": 9}),
        (Ratio(ratio=0.5), {"a": 20, "b": 10, "c": 10}),
    ],
)
def test_each_class_reaches_its_aim_and_none_loses_rows(spark, to, expected):
    assert Counter(label for (label,) in rows_of(balanced(spark, method="duplicate", to=to), "label")) == expected


BEFORE = st.dictionaries(st.sampled_from("abcd"), st.integers(2, 15), min_size=1, max_size=4)
AIMS = st.one_of(
    st.just("uniform"),
    st.integers(1, 20).map(lambda count: Count(count=count)),
    st.floats(0.1, 1).map(lambda ratio: Ratio(ratio=ratio)),
)
MAKING = ("duplicate", "smote", "augment")


def step_of(method, to):
    aim = {"to": to} if method != "weights" else {}
    return Rebalance(method=method, **aim, **({"ops": ({"noise": 0.1},)} if method == "augment" else {}))


@given(BEFORE, AIMS, st.sampled_from([*MAKING, "undersample"]))
def test_the_plan_reaches_its_aim(before, to, method):
    after = step_of(method, to)._aims(before)
    assert list(after) == list(before)
    fewest, most = min(before.values()), max(before.values())
    if isinstance(to, Count):
        aim = to.count
    elif isinstance(to, Ratio):
        aim = round(fewest / to.ratio if method == "undersample" else most * to.ratio)
    else:
        aim = fewest if method == "undersample" else most
    choose = min if method == "undersample" else max
    assert after == {one: choose(count, aim) for one, count in before.items()}
    if isinstance(to, Ratio):
        # to half a row of the rarest and of the largest
        assert min(after.values()) + 0.5 >= to.ratio * (max(after.values()) - 0.5)


@examples(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(BEFORE, AIMS, st.sampled_from([*MAKING, "undersample", "weights", "none"]))
def test_every_method_ends_with_the_rows_of_its_plan(spark, before, to, method):
    rows = [{"wind": float(at), "label": label} for label, count in before.items() for at in range(count)]
    frame = table(spark, rows, NUMBER, LABEL)
    step = step_of(method, to)
    learned = step.fit(frame, 1)
    found = rows_of(step.apply(frame, learned, 1), "sample_id", "parent_id", "op", "label")
    assert Counter(row[3] for row in found) == (learned["after"] if learned else before)
    assert len({row[0] for row in found}) == len(found)
    originals = {row[0]: row[3] for row in found if row[1] is None}
    assert len(originals) == (len(rows) if method != "undersample" else len(found))
    assert all(originals[parent] == label for _, parent, _, label in found if parent is not None)


def test_the_plan_is_logged_as_a_table_before_it_is_done(spark):
    step = Rebalance(method="undersample", to=Ratio(ratio=0.5))
    lines = step.plan(step.fit(made(spark), 1))
    assert lines == [
        "undersample of train rows, planned:",
        "label  rows  after  made  left out  weight   share   after",
        "a        20      6     0        14       1  66.67%  40.00%",
        "b         7      6     0         1       1  23.33%  40.00%",
        "c         3      3     0         0       1  10.00%  20.00%",
        "scores are calibrated to these shares; `prior: corrected` of the task classify brings them back",
    ]
    assert Rebalance(method="none").plan({}) == []


def test_classes_that_were_encoded_are_reported_by_their_names(spark):
    rows = [{"wind": 1.0, "label": at} for at in (2, 2, 2, 0, 0)]
    learned = Rebalance(method="duplicate").fit(table(spark, rows, NUMBER, target(3)), 1)
    assert learned["before"] == {"class 0": 2, "class 2": 3}
    assert learned["after"] == {"class 0": 3, "class 2": 3}


@pytest.mark.bad_input
def test_what_is_no_class_is_refused(spark, monkeypatch):
    monkeypatch.setattr(rebalance, "MOST_CLASSES", 5)
    with pytest.raises(BadData, match="wind has more than 5 values"):
        Rebalance(method="duplicate", column="wind").fit(made(spark), 1)
    holed = table(spark, [{"label": "a"}, {"label": None}], LABEL)
    with pytest.raises(BadData, match="label: 1 rows are of no class"):
        Rebalance(method="weights").fit(holed, 1)


def test_a_duplicate_equals_its_parent_and_names_it(spark):
    rows = rows_of(balanced(spark, method="duplicate"), "sample_id", "parent_id", "op", "wind", "label")
    originals = {row[0]: row[3:] for row in rows if row[1] is None}
    copies = [row for row in rows if row[1] is not None]
    assert len(originals) == 30
    assert len({row[0] for row in rows}) == len(rows)
    for sample_id, parent, op, *values in copies:
        assert tuple(values) == originals[parent]
        assert json.loads(op) == {"op": "duplicate", "copy": int(sample_id.rpartition("-")[2])}


def test_copies_are_spread_evenly_over_the_rows_of_a_class(spark):
    rows = rows_of(balanced(spark, method="duplicate"), "parent_id", "sample_id", "label")
    of_c = Counter(parent or sample for parent, sample, label in rows if label == "c")
    assert max(of_c.values()) - min(of_c.values()) <= 1


def test_the_same_rows_are_copied_whatever_the_partitions(spark):
    first, *others = [rows_of(balanced(spark, count, method="duplicate"), "sample_id") for count in (1, 2, 7)]
    assert all(other == first for other in others)


def test_weights_are_those_of_scikit_learn(spark):
    labels = [label for label, count in COUNTS.items() for _ in range(count)]
    expected = compute_class_weight("balanced", classes=np.array(list(COUNTS)), y=labels)
    found = dict(rows_of(balanced(spark, method="weights"), "label", "weight"))
    assert [found[label] for label in COUNTS] == pytest.approx(list(expected), rel=1e-6)


@pytest.mark.parametrize("power", [0.0, 0.3, 1.0])
def test_weights_have_mean_one_over_all_rows(power):
    weights = class_weights(COUNTS, power)
    assert sum(weights[label] * count for label, count in COUNTS.items()) / 30 == pytest.approx(1)


def test_none_changes_nothing(spark):
    assert rows_of(balanced(spark, method="none"), "sample_id", "label") == rows_of(made(spark), "sample_id", "label")


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("uniform", {"a": 3, "b": 3, "c": 3}),
        (Count(count=9), {"a": 9, "b": 7, "c": 3}),
        (Ratio(ratio=0.5), {"a": 6, "b": 6, "c": 3}),
    ],
)
def test_undersampling_leaves_rows_of_large_classes_out_and_makes_none(spark, to, expected):
    rows = rows_of(balanced(spark, method="undersample", to=to), "sample_id", "op", "label")
    assert Counter(label for *_, label in rows) == expected
    assert {op for _, op, _ in rows} == {None}
    assert rows == rows_of(balanced(spark, 7, method="undersample", to=to), "sample_id", "op", "label")


def test_augmentation_makes_changed_rows_of_rare_classes(spark):
    step = {"method": "augment", "ops": ({"noise": 0.1},)}
    rows = rows_of(balanced(spark, **step), "sample_id", "parent_id", "op", "wind", "label")
    assert Counter(label for *_, label in rows) == {"a": 20, "b": 20, "c": 20}
    originals = {row[0]: row for row in rows if row[1] is None}
    made = [row for row in rows if row[1] is not None]
    assert all(row[3] != originals[row[1]][3] and row[4] == originals[row[1]][4] for row in made)
    assert {change for row in made for change in json.loads(row[2])["changes"][0]} == {"noise"}
    assert rows == rows_of(balanced(spark, 7, **step), "sample_id", "parent_id", "op", "wind", "label")


@pytest.mark.bad_input
def test_ops_are_for_augmentation_alone_and_are_checked(spark):
    for fields in ({"method": "augment"}, {"method": "smote", "ops": ({"noise": 0.1},)}):
        with pytest.raises(ValidationError, match="ops"):
            Rebalance(**fields)
    with pytest.raises(ValidationError, match="noise"):
        Rebalance(method="augment", ops=({"noize": 0.1},))
    with pytest.raises(ValidationError, match="masks and boxes move with an image"):
        Rebalance(method="augment", ops=({"swap": 0.1},), masks=("area",))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("weights", {"to": {"ratio": 0.5}}),
        ("weights", {"to": "uniform"}),
        ("duplicate", {"power": 0.5}),
        ("duplicate", {"columns": ("wind",)}),
        ("undersample", {"neighbours": 3}),
        ("undersample", {"block": 500}),
        ("smote", {"changed": "image"}),
        ("smote", {"masks": ("area",)}),
        ("duplicate", {"boxes": "boxes"}),
        ("weights", {"synonyms": {"big": ("large",)}}),
    ],
)
def test_a_field_that_the_method_does_not_read_is_refused_by_name(method, fields):
    with pytest.raises(ValidationError, match=f"{next(iter(fields))}: not read by method {method}, which reads"):
        Rebalance(method=method, **fields)


def test_none_is_what_a_method_is_compared_with_and_leaves_its_fields_where_they_are(spark):
    step = Rebalance(method="none", to=Ratio(ratio=0.5), ops=({"noise": 0.1},))
    assert step.fit(made(spark), 1) == {}


FROM = {"a": 6, "b": 2}
PIXELS = np.random.default_rng(0).integers(0, 256, (8, 1, 6, 6), dtype=np.uint8)
AREAS = np.random.default_rng(1).integers(0, 5, (8, 6, 6))
CORNERS = np.tile(np.float32([[1, 1, 4, 5]]), (8, 1, 1))
AREA = Column(name="area", dtype="int64", layout="tensor", shape=(6, 6), axes="HW", role="target", meaning="mask")
BOXES = Column(name="boxes", dtype="float32", layout="tensor", shape=(1, 4), role="target", meaning="vector")


def test_masks_and_boxes_move_with_the_images_that_are_changed(spark):
    labels = [label for label, count in FROM.items() for _ in range(count)]
    parts = zip(labels, PIXELS, AREAS, CORNERS, strict=True)
    rows = [
        {"label": label, "image": one.tobytes(), "area": area.tobytes(), "boxes": box.tobytes()}
        for label, one, area, box in parts
    ]
    within = table(spark, rows, LABEL, image(1, 6, 6), AREA, BOXES)
    step = Rebalance(method="augment", ops=({"shift": 2}, {"flip": 0.5}), masks=("area",), boxes="boxes")
    changed = step.apply(within, step.fit(within, 1), 1)
    new = [row for row in rows_of(changed, "parent_id", "op", "image", "area", "boxes") if row[0] is not None]
    assert len(new) == 4
    for parent, op, *contents in new:
        at = int(parent[1:])
        moved, (mask,), boxes = along(PIXELS[at], json.loads(op)["changes"], [AREAS[at]], CORNERS[at])
        assert [one.tobytes() for one in (moved, mask, boxes)] == [bytes(one) for one in contents]
    assert any(bytes(row[3]) != AREAS[int(row[0][1:])].tobytes() for row in new)


def test_words_are_replaced_by_the_synonyms_that_are_given(spark):
    within = table(spark, [{"text": "big dog", "label": one} for one in "aaab"], TEXT, LABEL)
    step = Rebalance(method="augment", ops=({"synonyms": 1.0},), synonyms={"big": ("large",)})
    new = rows_of(step.apply(within, step.fit(within, 1), 1), "parent_id", "text")
    assert [text for parent, text in new if parent is not None] == ["large dog", "large dog"]


def test_noise_has_the_deviation_of_train_which_the_plan_keeps(spark):
    wind = np.concatenate([np.random.default_rng(3).normal(0, 10, 300), np.full(150, 4.0)])
    rows = [{"wind": one, "label": "a" if at < 300 else "b"} for at, one in enumerate(wind)]
    within = table(spark, rows, NUMBER, LABEL)
    step = Rebalance(method="augment", ops=({"noise": 0.5},))
    learned = step.fit(within, 1)
    assert learned["deviations"] == {"wind": pytest.approx(wind.std(), rel=1e-9)}
    new = [row for row in rows_of(step.apply(within, learned, 1), "parent_id", "op", "wind") if row[0] is not None]
    assert len(new) == 150
    # with what stands in the manifest and in the row, the row can be made again from its parent
    noise = noisy(np.array([learned["deviations"]["wind"]]))
    for parent, op, value in new:
        done = json.loads(op)["changes"]
        assert through(noise, np.array([wind[int(parent[1:])]]), done)[0] == pytest.approx(value, rel=1e-12)
    # the rare rows alone do not deviate at all
    assert np.std([value for *_, value in new]) == pytest.approx(0.5 * wind.std(), rel=0.2)


@pytest.mark.parametrize("second", ["duplicate", "smote", "augment"])
@pytest.mark.parametrize("first", ["duplicate", "smote", "augment"])
def test_a_row_made_of_a_made_one_has_an_id_of_its_own_and_records_both(spark, first, second):
    rows = [{"wind": float(at), "label": "aaaaabb"[at % 7], "city": "xxxy"[at % 4]} for at in range(42)]
    made_of = table(spark, rows, NUMBER, LABEL, CITY.model_copy(update={"role": "target"}))
    for method, column in ((first, "label"), (second, "city")):
        ops = {"ops": ({"noise": 0.1},)} if method == "augment" else {}
        step = Rebalance(method=method, column=column, **ops)
        made_of = step.apply(made_of, step.fit(made_of, 1), 1)
    one, other = ("rebalance" if method == "augment" else method for method in (first, second))
    found = rows_of(made_of, "sample_id", "parent_id", "op")
    assert len({row[0] for row in found}) == len(found)
    both = [row for row in found if row[0].count("+") == 2]
    assert both
    for sample_id, parent, op in both:
        operation = json.loads(op)
        assert (operation["before"]["op"], operation["op"]) == (one, f"{other}2" if other == one else other)
        names = [f"{done['op']}-{done['copy']}" for done in (operation["before"], operation)]
        assert sample_id == "+".join([parent, *names])


def test_classes_are_named_as_encode_names_them(spark):
    names = ["0.0", "1.0", "1", "1e3"]
    texts = table(spark, [{"wind": 1.0, "label": one} for one in names], NUMBER, LABEL)
    assert set(Rebalance(method="duplicate").fit(texts, 1)["before"]) == set(names)
    held = [0.0, -2.0, 0.5, 12_345_678.0]
    numbers = table(spark, [{"wind": one, "label": "a"} for one in held], NUMBER, LABEL)
    learned = Encode(columns=("wind",)).fit(numbers, 1)["wind"]["classes"]
    assert set(Rebalance(method="duplicate", column="wind").fit(numbers, 1)["before"]) == set(learned) - {UNKNOWN_CLASS}


@pytest.mark.bad_input
def test_weights_do_not_write_over_a_column(spark):
    weight = NUMBER.model_copy(update={"name": "Weight"})
    rows = table(spark, [{"label": one, "Weight": 70.0} for one in "aab"], LABEL, weight)
    step = Rebalance(method="weights")
    with pytest.raises(BadData, match="there is a column 'Weight' already"):
        step.apply(rows, step.fit(rows, 1), 1)

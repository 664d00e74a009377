import json
from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError
from pyspark.sql import functions as F

from millstream.pipelines.steps.augment import Augment
from millstream.pipelines.steps.rebalance import Rebalance
from millstream.tracking.augmentations.image import CHANGES, NEAREST, along
from millstream.tracking.augmentations.op import through
from millstream.tracking.augmentations.series import CHANGES as SERIES_CHANGES
from millstream.tracking.augmentations.text import changes
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from tests.pipelines.made import LABEL, NUMBER, TEXT, image, rows_of, table

pytestmark = pytest.mark.spark
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 1, 8, 8), dtype=np.uint8)
MASK = Column(name="area", dtype="int64", layout="tensor", shape=(8, 8), axes="HW", role="target", meaning="category")
BOXES = Column(name="boxes", dtype="float32", layout="tensor", shape=(2, 4), role="target", meaning="vector")
SERIES = Column(
    name="signal", dtype="float32", layout="tensor", shape=(20, 2), axes="TC", role="input", meaning="vector"
)
COUNT = Column(name="count", dtype="int64", role="input", meaning="number")


def made(spark, partitions=None):
    return table(spark, [{"image": one.tobytes()} for one in PIXELS], image(1, 8, 8), partitions=partitions)


def augmented(spark, step, partitions=None):
    return step.apply(made(spark, partitions), {}, 5)


def copies_of(changed, *names):
    """(parent, op, values) of each new row."""
    rows = rows_of(changed, "parent_id", "op", *names)
    return [(row[0], json.loads(row[1]), *row[2:]) for row in rows if row[0] is not None]


STEP = Augment(copies=2, ops=({"shift": 2}, {"rotate": 10}, {"noise": 0.05}))


def test_every_new_row_can_be_made_again_from_its_parent(spark):
    rows = rows_of(augmented(spark, STEP), "sample_id", "parent_id", "op", "image")
    parents = {row[0]: np.frombuffer(row[3], np.uint8).reshape(1, 8, 8) for row in rows if row[1] is None}
    copies = [row for row in rows if row[1] is not None]
    assert (len(parents), len(copies)) == (6, 12)
    for sample_id, parent, op, content in copies:
        operation, pixels = json.loads(op), parents[parent]
        assert sample_id == f"{parent}+augment-{operation['copy']}"
        for change in operation["changes"]:
            ((name, parameters),) = change.items()
            pixels = CHANGES[name][1](pixels, parameters)
        assert pixels.tobytes() == bytes(content)


def test_the_same_copies_come_whatever_the_partitions(spark):
    first, *others = [rows_of(augmented(spark, STEP, count), "sample_id", "op", "image") for count in (1, 2, 7)]
    assert all(other == first for other in others)


def test_no_copies_leave_the_rows_as_they_are(spark):
    assert augmented(spark, Augment(copies=0, ops=({"shift": 1},))).frame.count() == 6


def test_masks_and_boxes_move_with_their_image(spark):
    draw = np.random.default_rng(1)
    masks, boxes = draw.integers(0, 5, (6, 8, 8)), np.tile(np.float32([[1, 1, 4, 5], [0, 0, 0, 0]]), (6, 1, 1))
    rows = [
        {"image": one.tobytes(), "area": mask.tobytes(), "boxes": box.tobytes()}
        for one, mask, box in zip(PIXELS, masks, boxes, strict=True)
    ]
    step = Augment(copies=3, ops=({"flip": 0.5}, {"shift": 2}), masks=("area",), boxes="boxes")
    changed = step.apply(table(spark, rows, image(1, 8, 8), MASK, BOXES), {}, 5)
    copies = copies_of(changed, "image", "area", "boxes")
    assert len(copies) == 18
    for parent, operation, *contents in copies:
        at = int(parent[1:])
        moved, (mask,), box = along(PIXELS[at], operation["changes"], [masks[at]], boxes[at])
        assert [one.tobytes() for one in (moved, mask, box)] == [bytes(one) for one in contents]
    assert len({bytes(copy[3]) for copy in copies}) > 6


def test_texts_are_changed_from_their_own_words(spark):
    texts = ["the big dog runs", "a cat", None]
    step = Augment(copies=4, ops=({"synonyms": 1.0}, {"swap": 0.5}), synonyms={"big": ["large", "huge"]})
    changed = step.apply(table(spark, [{"text": one} for one in texts], TEXT), {}, 1)
    copies = copies_of(changed, "text")
    for parent, operation, content in copies:
        original = texts[int(parent[1:])]
        expected = original and through(changes(step.synonyms), original, operation["changes"])
        assert content == expected
    words = [Counter(content.split(" ")) for parent, _, content in copies if parent == "s0"]
    either = [Counter(["the", big, "dog", "runs"]) for big in ("large", "huge")]
    assert all(one in either for one in words)


def test_series_are_changed_by_their_op(spark):
    held = np.random.default_rng(2).normal(size=(4, 20, 2)).astype(np.float32)
    step = Augment(ops=({"warp": 0.2}, {"permute": 4}))
    changed = step.apply(table(spark, [{"signal": one.tobytes()} for one in held], SERIES), {}, 1)
    for parent, operation, content in copies_of(changed, "signal"):
        expected = through(SERIES_CHANGES, held[int(parent[1:])], operation["changes"])
        assert bytes(content) == expected.tobytes()
        assert expected.tobytes() != held[int(parent[1:])].tobytes()


def test_numbers_get_noise_of_the_deviation_that_train_has(spark):
    values = np.random.default_rng(3).normal(10, 4, 300)
    rows = [{"wind": one, "count": at, "label": "a"} for at, one in enumerate(values)]
    rows.append({"wind": None, "count": None, "label": "b"})
    within = table(spark, rows, NUMBER, COUNT, LABEL)
    step = Augment(copies=5, ops=({"noise": 0.5},))
    learned = step.fit(within, 1)
    assert learned["deviations"] == pytest.approx({"wind": values.std(), "count": np.arange(300).std()}, rel=1e-9)
    copies = copies_of(step.apply(within, learned, 1), "wind", "count", "label")
    added = np.array([wind - values[int(parent[1:])] for parent, _, wind, _, _ in copies if wind is not None])
    assert len(added) == 1500
    assert added.std() == pytest.approx(0.5 * values.std(), rel=0.08)
    missing = [row[2:] for row in copies if row[0] == "s300"]
    assert missing == [(None, None, "b")] * 5


def test_another_step_decides_how_many_copies_a_row_gets(spark):
    within = made(spark)
    rows = within.frame.where("sample_id IN ('s1', 's2')").withColumn("_copy", F.expr("explode(sequence(1, 3))"))
    new = rows_of(type(within)(STEP.made(within, rows, {}, 5, "rebalance"), within.columns), "sample_id", "op", "image")
    assert [row[0] for row in new] == [f"s{at}+rebalance-{copy}" for at in (1, 2) for copy in (1, 2, 3)]
    for sample_id, op, content in new:
        operation = json.loads(op)
        assert operation["op"] == "rebalance"
        expected = through(CHANGES, PIXELS[int(sample_id[1])], operation["changes"])
        assert bytes(content) == expected.tobytes()


def test_two_steps_in_a_row_give_ids_of_their_own_and_record_all_that_was_done(spark):
    once = augmented(spark, Augment(ops=({"shift": 2},)))
    twice = Augment(ops=({"noise": 0.05},)).apply(once, {}, 5)
    rows = rows_of(twice, "sample_id", "parent_id", "op", "image")
    ids = {f"s{at}{end}" for at in range(6) for end in ("", "+augment-1", "+augment2-1", "+augment-1+augment2-1")}
    assert {row[0] for row in rows} == ids
    assert len(rows) == 24
    for _, parent, op, content in rows:
        if parent is not None:
            operation = json.loads(op)
            changes_in_order = [*operation.get("before", {}).get("changes", []), *operation["changes"]]
            assert through(CHANGES, PIXELS[int(parent[1:])], changes_in_order).tobytes() == bytes(content)


def test_the_feeds_step_makes_no_rows_and_records_what_to_change(spark):
    step = Augment(ops=({"flip": 0.5},), where="feed")
    assert step.fit(made(spark), 5) == {"column": "image", "modality": "image"}
    assert augmented(spark, step).frame.count() == 6
    numbers = table(spark, [{"wind": 1.0}, {"wind": 4.0}, {"wind": None}], NUMBER)
    learned = Augment(ops=({"noise": 0.1},), where="feed").fit(numbers, 0)
    assert learned == {"column": "numbers", "modality": "table", "deviations": {"wind": 1.5}}
    texts = table(spark, [{"text": "a b"}], TEXT)
    assert Augment(ops=({"swap": 1},), where="feed").fit(texts, 0) == {"column": "text", "modality": "text"}


def test_a_column_is_chosen_by_name_where_the_ops_fit_several(spark):
    within = table(spark, [{"image": PIXELS[0].tobytes(), "wind": 1.0}], image(1, 8, 8), NUMBER)
    with pytest.raises(BadData, match="name one"):
        Augment(ops=({"noise": 0.1},)).fit(within, 0)
    assert Augment(ops=({"noise": 0.1},), column="numbers").fit(within, 0) == {"deviations": {"wind": 0.0}}
    assert Augment(ops=({"noise": 0.1},), column="image").fit(within, 0) == {}


@pytest.mark.bad_input
def test_an_unknown_op_is_refused_with_the_nearest():
    with pytest.raises(ValidationError, match="did you mean 'rotate'"):
        Augment(ops=({"rotat": 3},))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ops": ({"shift": 1}, {"swap": 0.1})}, "not all of one kind"),
        ({"ops": ({"flip": 1.5},)}, "too strong: flip 1.5"),
        ({"ops": ({"flip": float("nan")},)}, "strength >= 0"),
        ({"ops": ({"shift": 0.1},)}, r"changes nothing: shift 0.1 \(give 1 or more\)"),
        ({"ops": ({"crop": 0.9}, {"cutout": 0.5})}, "changes nothing: crop 0.9 .*, cutout 0.5"),
        ({"ops": ({"permute": 1},)}, r"changes nothing: permute 1 \(give 2 or more\)"),
        ({"ops": ({"shift": 1}, {"rotate": 0})}, r"changes nothing: rotate 0 \(give more than 0\)"),
        ({"ops": ({"swap": 0.1},), "masks": ("area",)}, "change none"),
        ({"ops": ({"synonyms": 0.1},)}, "need each other"),
        ({"ops": ({"swap": 0.1},), "synonyms": {"a": ["b"]}}, "need each other"),
    ],
)
def test_what_cannot_go_together_is_refused_before_anything_runs(fields, message):
    with pytest.raises(ValidationError, match=message):
        Augment(**fields)


@pytest.mark.bad_input
def test_a_table_without_images_is_refused(spark):
    with pytest.raises(BadData, match="images are"):
        Augment(ops=({"shift": 1},)).apply(table(spark, [{"wind": 1.0}], NUMBER), {}, 0)


@pytest.mark.bad_input
def test_texts_behind_encode_are_refused(spark):
    rows = [{"text": "a b"}]
    with pytest.raises(BadData, match="put augment before encode"):
        Augment(ops=({"swap": 1},)).fit(table(spark, rows, TEXT.model_copy(update={"role": "key"})), 0)


@pytest.mark.bad_input
def test_where_a_table_has_nothing_to_change_the_step_that_makes_it_is_named(spark):
    rows = table(spark, [{"wind": 1.0}], NUMBER)
    with pytest.raises(BadData, match=r"series are \[\]; put augment after window"):
        Augment(ops=({"jitter": 0.1},), where="feed").fit(rows, 0)
    with pytest.raises(
        BadData, match=r"column is 'signal', and images or series are \[\]; .* put augment after window"
    ):
        Augment(ops=({"scale": 0.1},), column="signal").fit(rows, 0)


FINE = image(1, 16, 16).model_copy(update={"name": "fine", "role": "target"})
AREA = MASK.model_copy(update={"meaning": "mask"})


@pytest.mark.bad_input
@pytest.mark.parametrize("where", ["spark", "feed"])
@pytest.mark.parametrize("other", [AREA, FINE], ids=["a mask", "a finer image as target"])
@pytest.mark.parametrize("op", sorted(NEAREST))
def test_no_image_is_moved_away_from_what_shows_the_same(spark, where, other, op):
    cells = {
        "image": PIXELS[0].tobytes(),
        other.name: bytes(int(np.prod(other.shape)) * np.dtype(other.dtype).itemsize),
    }
    within = table(spark, [cells], image(1, 8, 8), other)
    step = Augment(ops=({op: 1 if op in ("shift", "crop") else 0.5},), where=where, column="image")
    with pytest.raises(BadData, match=rf"\['{op}'\] move 'image', and \['{other.name}'\] would stay as they are"):
        step.fit(within, 0)
    with pytest.raises(BadData, match="name them in masks"):
        Rebalance(method="augment", ops=step.ops, changed="image", column="label").fit(
            table(spark, [cells | {"label": "a"}], image(1, 8, 8), other, LABEL), 0
        )
    step.model_copy(update={"masks": (other.name,)}).fit(within, 0)
    step.model_copy(update={"ops": ({"brightness": 0.5},)}).fit(within, 0)


@pytest.mark.bad_input
def test_a_mask_of_another_size_is_refused(spark):
    small = MASK.model_copy(update={"shape": (4, 4)})
    within = table(spark, [{"image": PIXELS[0].tobytes(), "area": b"0" * 128}], image(1, 8, 8), small)
    with pytest.raises(BadData, match=r"ends with \(8, 8\)"):
        Augment(ops=({"shift": 1},), masks=("area",)).apply(within, {}, 0)

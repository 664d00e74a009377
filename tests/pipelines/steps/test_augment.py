import json

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines import augmentations
from pipelines.steps.augment import Augment
from tests.pipelines.made import NUMBER, image, rows_of, table
from tracking.faults import BadData

pytestmark = pytest.mark.spark
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 1, 8, 8), dtype=np.uint8)


def made(spark, partitions=None):
    return table(spark, [{"image": one.tobytes()} for one in PIXELS], image(1, 8, 8), partitions=partitions)


def augmented(spark, step, partitions=None):
    return step.apply(made(spark, partitions), {}, 5)


STEP = Augment(copies=2, ops=({"shift": 2}, {"rotate": 10}, {"noise": 0.05}))


def test_every_new_row_can_be_made_again_from_its_parent(spark):
    rows = rows_of(augmented(spark, STEP), "sample_id", "parent_id", "op", "image")
    parents = {row[0]: np.frombuffer(row[3], np.uint8).reshape(1, 8, 8) for row in rows if row[1] is None}
    copies = [row for row in rows if row[1] is not None]
    assert (len(parents), len(copies)) == (6, 12)
    for sample_id, parent, op, content in copies:
        told, pixels = json.loads(op), parents[parent]
        assert sample_id == f"{parent}+augment-{told['copy']}"
        for change in told["changes"]:
            ((name, parameters),) = change.items()
            pixels = augmentations.CHANGES[name][1](pixels, parameters)
        assert pixels.tobytes() == bytes(content)


def test_the_same_copies_come_whatever_the_partitions(spark):
    first, *others = [rows_of(augmented(spark, STEP, count), "sample_id", "op", "image") for count in (1, 2, 7)]
    assert all(other == first for other in others)


def test_no_copies_leave_the_rows_as_they_are(spark):
    assert augmented(spark, Augment(copies=0, ops=({"shift": 1},))).frame.count() == 6


@pytest.mark.bad_input
def test_an_unknown_op_is_refused_with_the_nearest():
    with pytest.raises(ValidationError, match="did you mean 'rotate'"):
        Augment(ops=({"rotat": 3},))


@pytest.mark.bad_input
def test_a_table_without_images_is_refused(spark):
    with pytest.raises(BadData, match="images are"):
        Augment(ops=({"shift": 1},)).apply(table(spark, [{"wind": 1.0}], NUMBER), {}, 0)

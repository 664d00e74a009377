import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.tracking.augmentations.image import CHANGES, along
from millstream.tracking.augmentations.op import generator_of

SIZE = (40, 60)


def with_object(box):
    """An image that is bright inside the box alone."""
    x0, y0, x1, y1 = box
    image = np.zeros((1, *SIZE))
    image[0, y0:y1, x0:x1] = 1.0
    return image


def around(image):
    """The box around what is at least half bright."""
    rows, columns = np.nonzero(image[0] >= 0.5)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize(
    "op",
    [
        {"shift": {"down": -3, "right": 5}},
        {"crop": {"padding": 4, "top": 0, "left": 7}},
        {"flip": {"flipped": True}},
        {"flip": {"flipped": False}},
        {"rotate": {"degrees": 90.0}},
        {"rotate": {"degrees": 180.0}},
        {"scale": {"factor": 1.25}},
        {"elastic": {"alpha": 34.0, "seed": 2}},
    ],
)
def test_a_box_stays_around_its_object(op):
    box = [20, 12, 36, 24]
    changed, _, (moved,) = along(with_object(box), [op], boxes_N4=np.array([box], np.float32))
    np.testing.assert_allclose(moved, around(changed), atol=1.0)  # the object's edge is known to a pixel


@given(degrees=st.floats(-60, 60))
def test_a_turned_box_holds_the_whole_of_the_turned_object(degrees):
    box = [24, 16, 36, 24]
    op = {"rotate": {"degrees": degrees}}
    changed, _, (moved,) = along(with_object(box), [op], boxes_N4=np.array([box], np.float64))
    x0, y0, x1, y1 = around(changed)
    assert moved[0] <= x0 + 0.5
    assert moved[1] <= y0 + 0.5
    assert moved[2] >= x1 - 0.5
    assert moved[3] >= y1 - 0.5


def test_boxes_are_clipped_and_those_that_left_or_were_padding_are_zero():
    boxes = np.array([[50, 10, 58, 20], [0, 0, 4, 4], [0, 0, 0, 0]], np.int32)
    _, _, moved = along(np.zeros((1, *SIZE)), [{"shift": {"down": 0, "right": 5}}], boxes_N4=boxes)
    assert moved.tolist() == [[55, 10, 60, 20], [5, 0, 9, 4], [0, 0, 0, 0]]
    _, _, gone = along(np.zeros((1, *SIZE)), [{"shift": {"down": 0, "right": -5}}], boxes_N4=boxes)
    assert gone.tolist() == [[45, 10, 53, 20], [0, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("name", ["brightness", "noise", "blur", "cutout"])
def test_what_changes_no_geometry_leaves_masks_and_boxes(name):
    mask, boxes = np.random.default_rng(0).integers(0, 5, SIZE), np.array([[1.0, 2.0, 30.0, 40.0]])
    op = {name: CHANGES[name].draw(0.5, generator_of(0))}
    _, (same_mask,), same_boxes = along(np.ones((1, *SIZE)), [op], [mask], boxes)
    assert np.array_equal(same_mask, mask)
    assert np.array_equal(same_boxes, boxes)


def test_a_mask_moves_exactly_as_its_image():
    labels = np.random.default_rng(0).integers(0, 5, SIZE)
    ops = [{"shift": {"down": 2, "right": -7}}, {"flip": {"flipped": True}}, {"rotate": {"degrees": 180.0}}]
    image, (mask,), _ = along(labels[None].astype(np.float64), ops, [labels])
    assert mask.shape == SIZE
    assert np.array_equal(np.rint(image[0]), mask)

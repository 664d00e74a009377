import numpy as np
import pytest

from millstream.pipelines.steps.patch import Patch
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from tests.pipelines.made import image, rows_of, table

pytestmark = pytest.mark.spark

MASK = Column(
    name="mask", dtype="int32", layout="tensor", shape=(1, 6, 9), axes="CHW", role="target", meaning="category"
)


def made(spark, count=2):
    draws = np.random.default_rng(0)
    wholes = [
        (draws.integers(0, 256, (3, 6, 9), np.uint8), draws.integers(0, 9, (1, 6, 9), np.int32)) for _ in range(count)
    ]
    rows = [{"image": image.tobytes(), "mask": mask.tobytes()} for image, mask in wholes]
    return wholes, table(spark, rows, image(3, 6, 9), MASK)


@pytest.mark.parametrize(("size", "stride", "patches"), [(3, None, 6), (4, 2, 2 * 4), (6, 6, 2)])
def test_patches_are_the_pixels_of_their_places_masks_along_and_cover_all(spark, size, stride, patches):
    wholes, whole = made(spark)
    found = Patch(size=size, stride=stride, masks=("mask",)).apply(whole, {}, 0)
    covered = np.zeros((2, 6, 9), bool)
    rows = rows_of(found, "sample_id", "picture", "patch_top", "patch_left", "image", "mask")
    assert len(rows) == 2 * patches
    for sample_id, parent, top, left, content, mask in rows:
        at = int(parent[1:])
        assert sample_id == f"{parent}@{top},{left}"
        here = np.s_[:, top : top + size, left : left + size]
        np.testing.assert_array_equal(np.frombuffer(content, np.uint8).reshape(3, size, size), wholes[at][0][here])
        np.testing.assert_array_equal(np.frombuffer(mask, "<i4").reshape(1, size, size), wholes[at][1][here])
        covered[at][here[1:]] = True
    assert covered.all()
    assert found.column("image").shape == (3, size, size)


@pytest.mark.bad_input
def test_patches_larger_than_the_image_are_refused(spark):
    with pytest.raises(BadData, match=r"'image': \(6, 9\).*expected equal ones of 7 or more"):
        Patch(size=7).apply(made(spark)[1], {}, 0)

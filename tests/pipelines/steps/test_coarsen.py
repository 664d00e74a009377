import numpy as np
import pytest
import torch

from millstream.pipelines.readers import origin_files
from millstream.pipelines.readers.images import SIZES
from millstream.pipelines.sources.images import Images
from millstream.pipelines.steps.coarsen import Coarsen
from millstream.pipelines.steps.patch import Patch
from millstream.pipelines.steps.resize import Resize
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from millstream.tracking.serving.bicubic import resampled
from millstream.training.layers.enlarge import enlarged
from millstream.training.tasks.super_resolve import psnr_y, ssim_y
from tests.pipelines.made import NUMBER, image, rows_of, table

pytestmark = pytest.mark.spark

KEPT = [Column(name=name, dtype="int32", role="key", meaning="number") for name in SIZES]


def arrays(found):
    kinds = {"image": np.uint8, "coarse": np.float32}
    return [
        [
            np.frombuffer(content, kinds[name]).reshape(found.column(name).shape)
            for name, content in zip(kinds, row, strict=True)
        ]
        for row in rows_of(found, *kinds)
    ]


def test_the_coarse_image_is_resampled_and_the_fine_one_becomes_the_target(spark):
    whole = np.random.default_rng(0).integers(0, 256, (3, 14, 9), np.uint8)
    found = Coarsen(scale=4).apply(table(spark, [{"image": whole.tobytes()}], image(3, 14, 9)), {}, 0)
    ((fine, coarse),) = arrays(found)
    np.testing.assert_array_equal(fine[:3], whole[:, :12, :8])
    assert (fine[3] == 255).all()
    np.testing.assert_allclose(coarse, resampled(whole[:, :12, :8], 3, 2), rtol=1e-6)
    roles = {column.name: (column.role, column.dtype, column.shape) for column in found.columns}
    assert roles == {"image": ("target", "uint8", (4, 12, 8)), "coarse": ("input", "float32", (3, 3, 2))}


def test_an_image_in_the_corner_of_its_frame_knows_nothing_of_what_is_beside_it(spark):
    whole = np.random.default_rng(1).integers(1, 256, (1, 12, 12), np.uint8)
    rows = [{"image": whole.tobytes(), SIZES[0]: 7, SIZES[1]: 10}]
    found = Coarsen(scale=3).apply(table(spark, rows, image(1, 12, 12), *KEPT), {}, 0)
    ((fine, coarse),) = arrays(found)
    alone = resampled(whole[:, :6, :9], 2, 3)
    np.testing.assert_allclose(coarse[:, :2, :3], alone, rtol=1e-6)
    np.testing.assert_allclose(coarse, np.pad(alone, [(0, 0), (0, 2), (0, 1)], mode="symmetric"), rtol=1e-6)
    assert (fine[1, :6, :9] == 255).all()
    assert fine[1].sum() == 255 * 6 * 9
    np.testing.assert_array_equal(fine[0], np.pad(whole[0, :6, :9], [(0, 6), (0, 3)]))


@pytest.mark.bad_input
def test_what_cannot_be_made_coarse_is_refused(spark):
    made = table(spark, [{"image": b"\0" * 6, "wind": 1.0}], image(1, 2, 3), NUMBER)
    with pytest.raises(BadData, match="'wind' is not an image of bytes"):
        Coarsen(scale=2, column="wind").apply(made, {}, 0)
    with pytest.raises(BadData, match=r"\(2, 3\); expected 4 or more"):
        Coarsen(scale=4).apply(made, {}, 0)


@pytest.mark.bad_input
def test_an_image_smaller_than_a_coarse_pixel_is_quarantined(spark):
    rows = [{"image": bytes(36), SIZES[0]: height, SIZES[1]: 6} for height in (3, 2)]
    found = Coarsen(scale=3).apply(table(spark, rows, image(1, 6, 6), *KEPT), {}, 0)
    assert rows_of(found, "sample_id") == [("s0",)]
    assert [row.reason for row in found.refused.collect()] == ["is smaller than 3 pixels"]


@pytest.mark.bad_input
@pytest.mark.parametrize("step", [Patch(size=2), Resize(height=2, width=2)])
def test_frames_of_images_that_keep_their_sizes_are_left_whole(spark, step):
    made = table(spark, [{"image": bytes(36), SIZES[0]: 3, SIZES[1]: 3}], image(1, 6, 6), *KEPT)
    with pytest.raises(BadData, match="another `resize` than keep"):
        step.apply(made, step.fit(made, 0), 0)


# Kim et al. 2016, arXiv 1511.04587, table 3, column bicubic
PUBLISHED = {2: (33.66, 0.9299), 3: (30.39, 0.8682), 4: (28.42, 0.8104)}


@pytest.mark.mirror
@pytest.mark.parametrize("scale", PUBLISHED)
def test_bicubic_enlargement_of_set5_has_the_published_figures(spark, settings, scale):
    source = Images(folder="superres", height=512, width=512, channels=1, resize="keep")
    files = {name: path for name, path in origin_files.locate_all(source, settings).items() if "set5" in str(path)}
    table = source.read(spark, {file.name: path for file, path in files.items()}, 0)
    table = Coarsen(scale=scale).apply(table, {}, 0)
    found = []
    for fine, coarse in arrays(table):
        height, width = (int(side) for side in ((fine[1] > 0).sum(axis=0).max(), (fine[1] > 0).sum(axis=1).max()))
        small = torch.from_numpy(coarse[:, : height // scale, : width // scale] / 255)
        large, true = enlarged(small[None], scale)[0], torch.from_numpy(fine[:1, :height, :width] / 255)
        found.append([float(psnr_y(large, true, scale)), float(ssim_y(large, true, scale))])
    psnr, ssim = np.mean(found, axis=0)
    assert len(found) == 5
    assert psnr == pytest.approx(PUBLISHED[scale][0], abs=0.03)
    assert ssim == pytest.approx(PUBLISHED[scale][1], abs=0.002)

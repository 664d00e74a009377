import numpy as np
import pytest
import torch

from millstream.tracking.augmentations.image import CHANGES, along
from millstream.tracking.augmentations.op import drawn, through
from millstream.tracking.augmentations.series import CHANGES as SERIES_CHANGES
from millstream.tracking.dataset import manifest as contract
from millstream.tracking.dataset.records import Affine, Column, Step
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData
from millstream.training.diagnostics.feed_hash import walk
from millstream.training.feed.feed import Feed
from millstream.training.feed.plan.config import MIB, Reading
from tests.datasets import make_dataset

ROWS, SEED = 100, 7
IMAGE = Column(
    name="image",
    dtype="uint8",
    layout="tensor",
    shape=(1, 8, 8),
    axes="CHW",
    role="input",
    meaning="image",
    affine=Affine(factor=1 / 255),
)
SIGNAL = Column(
    name="signal", dtype="float32", layout="tensor", shape=(12, 2), axes="TC", role="input", meaning="vector"
)
AREA = Column(name="area", dtype="int64", layout="tensor", shape=(8, 8), axes="HW", role="target", meaning="category")
OPS = [{"flip": 0.5}, {"crop": 2}, {"noise": 0.02}]


def step(ops, column, modality, **fields):
    config = {"ops": ops, "where": "feed", "masks": [], "boxes": None, **fields}
    learned = {"column": column, "modality": modality}
    return Step(name="augment", version=1, config=config, learned=learned, rows_in=1, rows_out=1, seconds=0.0)


def values(seed):
    draw = np.random.default_rng(seed)
    return {
        "image": draw.integers(0, 256, (ROWS, 1, 8, 8), dtype=np.uint8),
        "signal": draw.normal(size=(ROWS, 12, 2)).astype(np.float32),
        "area": draw.integers(0, 4, (ROWS, 8, 8)),
    }


def published(folder, *steps):
    """The data set as a preparation with these steps would publish it."""
    held = values(0)
    made = make_dataset(
        folder, {"train": held, "valid": values(1), "test": values(2)}, (IMAGE, SIGNAL, AREA), shard_rows=[40, 33, 27]
    )
    changed = made.manifest.model_copy(update={"steps": steps})
    (made.folder / contract.FILE).write_text(changed.text(), encoding="utf-8")
    return Dataset.open(made.folder, folder), held


@pytest.fixture(scope="module")
def dataset_and_values(tmp_path_factory):
    steps = [step(OPS, "image", "image", masks=["area"]), step([{"warp": 0.2}], "signal", "series")]
    return published(tmp_path_factory.mktemp("feed"), *steps)


@pytest.fixture
def dataset(dataset_and_values):
    return dataset_and_values[0]


def feed(dataset, split="train", *, rank=0, ranks=1, shuffle=None, **options):
    defaults = {"seed": SEED, "batch_size": 16, "window_mib": (1 << 14) / MIB, "engine": "arrow"}
    shuffle = split == "train" if shuffle is None else shuffle
    signature, reading = dataset.manifest.signature("area"), Reading(**(defaults | options))
    return Feed(dataset, split, signature, reading, rank=rank, ranks=ranks, shuffle=shuffle)


def global_batches(dataset, epoch, ranks, **options):
    feeds = [feed(dataset, rank=rank, ranks=ranks, **options) for rank in range(ranks)]
    for one in feeds:
        one.seek(epoch)
    return [
        [torch.cat([part[place] for part in parts]) for place in range(3)]
        for parts in ([(*batch.arguments, batch.truth) for batch in together] for together in zip(*feeds, strict=True))
    ]


def by_row(one, epoch=0):
    """Images, series and areas of an epoch in the order of the stored rows."""
    one.seek(epoch)
    ids, parts = [], []
    for batch in one:
        ids += one.sample_ids(epoch, batch.index)
        parts.append([tensor[batch.mask_B].numpy() for tensor in (*batch.arguments, batch.truth)])
    order = np.argsort([int(sample_id.rpartition("-")[2]) for sample_id in ids])
    return [np.concatenate(column)[order] for column in zip(*parts, strict=True)]


def assert_stored(one, held):
    images, signals, areas = by_row(one)
    assert np.array_equal(images, held["image"].astype(np.float32) * np.float32(1 / 255))
    assert np.array_equal(signals, held["signal"])
    assert np.array_equal(areas, held["area"])


def same(one, other):
    return all(torch.equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize("memory", ["cached", "streamed"])
def test_each_sample_is_changed_by_its_own_draws_of_the_epoch(dataset_and_values, memory):
    dataset, held = dataset_and_values
    one = feed(dataset, memory=memory)
    for epoch in (0, 3):
        one.seek(epoch)
        for batch in one:
            ids = one.sample_ids(epoch, batch.index)
            assert len(ids) == int(batch.mask_B.sum())
            tensors = [tensor[batch.mask_B].numpy() for tensor in (*batch.arguments, batch.truth)]
            for sample_id, pixels, signal, area in zip(ids, *tensors, strict=True):
                row = int(sample_id.rpartition("-")[2])
                keys = (SEED, "augment in feed", epoch, sample_id)
                ops = drawn(CHANGES, [next(iter(op.items())) for op in OPS], *keys, 0)
                image, (mask,), _ = along(held["image"][row], ops, [held["area"][row]])
                assert np.array_equal(pixels, image.astype(np.float32) * np.float32(1 / 255))
                assert np.array_equal(area, mask)
                warped = through(SERIES_CHANGES, held["signal"][row], drawn(SERIES_CHANGES, [("warp", 0.2)], *keys, 1))
                assert np.array_equal(signal, warped)


def test_ranks_and_memory_do_not_show_in_what_is_changed(dataset):
    wanted = global_batches(dataset, 1, 1, memory="cached")
    for ranks in (1, 2, 4):
        for memory in ("cached", "streamed"):
            assert same(global_batches(dataset, 1, ranks, memory=memory), wanted)
    signature = dataset.manifest.signature("area")
    walked = {
        walk(dataset, "train", signature, Reading(seed=1, batch_size=16, memory=memory), ranks=ranks).hash
        for ranks in (1, 2)
        for memory in ("cached", "streamed")
    }
    assert len(walked) == 1


def test_a_sample_looks_otherwise_in_another_epoch_and_the_same_in_the_same(dataset):
    first, second, again = (by_row(feed(dataset), epoch)[0] for epoch in (0, 1, 0))
    assert len(first) == ROWS
    assert np.array_equal(first, again)
    assert not any(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_a_feed_resumed_in_the_middle_continues_with_the_same_changes(dataset):
    whole = list(feed(dataset))
    resumed = feed(dataset)
    resumed.seek(0, 4)
    assert all(torch.equal(one.arguments[0], other.arguments[0]) for one, other in zip(whole[4:], resumed, strict=True))


@pytest.mark.parametrize("split", ["valid", "test"])
@pytest.mark.parametrize("memory", ["cached", "streamed"])
def test_what_is_measured_on_is_left_as_it_is_stored(dataset, split, memory):
    assert_stored(feed(dataset, split, memory=memory), values({"valid": 1, "test": 2}[split]))


def test_train_in_stored_order_is_as_it_is_stored_and_what_is_held_stays_unchanged(dataset, dataset_and_values):
    held = dataset_and_values[1]
    assert_stored(feed(dataset, shuffle=False), held)
    one = feed(dataset, memory="cached")
    assert len(list(one)) == len(list(one)) == 7
    assert np.array_equal(one._held.rows(one.statistics)[0], held["image"])


@pytest.mark.bad_input
def test_what_is_fitted_at_once_is_refused(dataset):
    with pytest.raises(BadData, match="where: spark"):
        feed(dataset).whole()

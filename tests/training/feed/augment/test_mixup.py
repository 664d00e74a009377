"""Mixup on the fly: each sample between itself and another one of its lane."""

import numpy as np
import pytest
import torch

from millstream.tracking.dataset.records import Column, Step
from millstream.tracking.errors import BadData
from millstream.training.feed.feed import Feed
from millstream.training.feed.plan.config import MIB, Reading
from tests.datasets import make_dataset

ROWS, SEED, BATCH, LANES = 203, 3, 16, 4
PLACE = Column(name="place", dtype="float32", role="input", meaning="number")
IMAGE = Column(name="image", dtype="uint8", layout="tensor", shape=(1, 4, 4), axes="CHW", role="input", meaning="image")
LABEL = Column(name="label", dtype="float32", layout="tensor", shape=(3,), axes="C", role="target", meaning="vector")
CITY = Column(name="city", dtype="int64", role="input", meaning="category", classes=("x", "y"))
FLIP = {"ops": [{"flip": 1.0}], "where": "feed", "masks": [], "boxes": None, "synonyms": {}}


def step(name, config, learned):
    return Step(name=name, version=1, config=config, learned=learned, rows_in=1, rows_out=1, seconds=0.0)


def mixup(alpha=0.5):
    return step("mixup", {"where": "feed", "alpha": alpha}, {"columns": [], "rows": ROWS})


def values():
    draw = np.random.default_rng(0)
    return {
        # no two pairs of rows have the same number between them
        "place": 2.0 ** -np.arange(ROWS) + np.arange(ROWS),
        "image": draw.integers(0, 256, (ROWS, 1, 4, 4), dtype=np.uint8),
        "label": np.eye(3, dtype=np.float32)[np.arange(ROWS) % 3],
    }


def published(folder, *steps, columns=(PLACE, IMAGE, LABEL), **more):
    splits = {"train": values() | more, "valid": values() | more}
    return make_dataset(folder, splits, columns, shard_rows=[80, 80, 43], steps=steps)


def feed(dataset, split="train", *, rank=0, ranks=1, shuffle=True, **options):
    reading = Reading(**{"seed": SEED, "batch_size": BATCH, "lanes": LANES, "engine": "arrow", **options})
    signature = dataset.manifest.signature("label")
    return Feed(dataset, split, signature, reading, rank=rank, ranks=ranks, shuffle=shuffle)


def both(mixed, plain, epoch):
    """(mixed, plain) values of all samples of an epoch, by tensor, and each one's lane."""
    names = [block.field.name for block in mixed.shards.blocks]
    own, stored, lanes = [], [], []
    for feed in (mixed, plain):
        feed.seek(epoch)
    for one, other in zip(mixed, plain, strict=True):
        assert torch.equal(one.mask_B, other.mask_B)
        own.append([tensor[one.mask_B].numpy() for tensor in (*one.arguments, one.truth)])
        stored.append([tensor[one.mask_B].numpy() for tensor in (*other.arguments, other.truth)])
        lanes.append((np.arange(BATCH) // (BATCH // LANES))[one.mask_B.numpy()])
    together = [map(np.concatenate, zip(*side, strict=True)) for side in (own, stored)]
    return *(dict(zip(names, side, strict=True)) for side in together), np.concatenate(lanes)


def pairs(mixed, plain, epoch):
    """For each sample of an epoch the others, and the shares, that all of its columns could be mixed of."""
    found, own, lanes = both(mixed, plain, epoch)
    place, own_place = found["numbers"].reshape(-1), own["numbers"].reshape(-1)
    for at in range(len(place)):
        fitting = []
        for other in np.flatnonzero((lanes == lanes[at]) & (np.arange(len(place)) != at)):
            # the share in the number has to be that of the image and of the label
            share = (place[at] - own_place[other]) / (own_place[at] - own_place[other])
            pixels, labels = (
                found[name][at] - share * own[name][at] - (1 - share) * own[name][other] for name in ("image", "label")
            )
            if -1e-4 <= share <= 1 + 1e-4 and np.abs(pixels).max() <= 0.6 and np.abs(labels).max() < 1e-3:
                fitting.append((other, share))
        yield fitting


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return published(tmp_path_factory.mktemp("mixed"), mixup())


@pytest.mark.parametrize("memory", ["cached", "streamed"])
def test_every_sample_is_between_itself_and_one_other_of_its_lane_in_all_columns(dataset, memory):
    mixed = feed(dataset, memory=memory)
    found = [fitting for epoch in (0, 1) for fitting in pairs(mixed, mixed.unchanged(), epoch)]
    assert len(found) == 2 * ROWS
    assert all(found)
    # a share of nearly 1 fits any other
    certain = [fitting[0][0] for fitting in found if len(fitting) == 1]
    assert len(certain) > ROWS
    assert len(set(certain)) > ROWS / 3


def test_shares_are_drawn_from_their_distribution(tmp_path):
    mixed = feed(published(tmp_path, mixup(alpha=2.0)))
    shares = []
    for epoch in range(8):
        label, own_label = (side["label"] for side in both(mixed, mixed.unchanged(), epoch)[:2])
        differs = (label.max(axis=1) < 1 - 1e-6) | (label.argmax(axis=1) != own_label.argmax(axis=1))
        shares += (label * own_label).sum(axis=1)[differs].tolist()
    # two thirds of the partners have another class. Beta(2, 2): mean 1/2, variance 1/20
    assert len(shares) == pytest.approx(8 * ROWS * 2 / 3, rel=0.1)
    assert np.mean(shares) == pytest.approx(0.5, abs=4 * (0.05 / len(shares)) ** 0.5)
    assert np.var(shares) == pytest.approx(0.05, rel=0.15)


def test_neither_ranks_nor_memory_nor_a_stop_show_in_what_is_mixed(dataset):
    def batches(ranks, **options):
        feeds = [feed(dataset, rank=rank, ranks=ranks, window_mib=(1 << 10) / MIB, **options) for rank in range(ranks)]
        return [[torch.cat([part.arguments[0] for part in parts]) for parts in zip(*feeds, strict=True)]]

    wanted = batches(1, memory="cached")
    for ranks in (1, 2, 4):
        for memory in ("cached", "streamed"):
            found = batches(ranks, memory=memory)
            assert all(torch.equal(a, b) for a, b in zip(wanted[0], found[0], strict=True))
    whole, resumed = list(feed(dataset)), feed(dataset)
    resumed.seek(0, 5)
    assert all(torch.equal(one.truth, other.truth) for one, other in zip(whole[5:], resumed, strict=True))


def test_what_was_changed_before_is_mixed_changed(tmp_path):
    flip = step("augment", FLIP, {"column": "image", "modality": "image"})
    flipped, mixed = feed(published(tmp_path / "flipped", flip)), feed(published(tmp_path / "mixed", flip, mixup()))
    assert all(pairs(mixed, flipped, 0))
    assert not all(pairs(mixed, mixed.unchanged(), 0))


@pytest.mark.parametrize("split", ["valid", "train"])
def test_what_is_measured_on_is_left_as_it_is_stored(dataset, split):
    one = feed(dataset, split, shuffle=False)
    found = np.concatenate([batch.truth[batch.mask_B].numpy() for batch in one])
    assert sorted(found.tolist()) == sorted(values()["label"].tolist())


@pytest.mark.bad_input
def test_a_category_has_nothing_between_two_values(tmp_path):
    made = published(tmp_path, mixup(), columns=(PLACE, CITY, LABEL), city=np.zeros(ROWS, np.int64))
    with pytest.raises(BadData, match=r"\['city'\]: nothing is between two of them"):
        feed(made)

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from millstream.tracking.dataset import manifest as contract
from millstream.tracking.dataset.records import Column, Step
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData
from millstream.training.feed.feed import Feed
from millstream.training.feed.plan.batch_order import NO_ROW
from millstream.training.feed.plan.config import MIB, Reading
from millstream.training.feed.plan.samples import Samples
from tests.datasets import make_dataset
from tests.training.feed.made import COLUMNS, ENGINES, TARGET_MAP, feed, made, values

LOOK_BACK, HORIZON, BLOCK, LONGEST, CHANNELS = 5, 3, 12, 19, 2
SERIES = Column(
    name="series",
    dtype="float32",
    layout="tensor",
    shape=(LONGEST, CHANNELS),
    axes="TC",
    role="input",
    meaning="series",
)
LENGTH = Column(name="length", dtype="int32", role="key", meaning="number")


def blocks(folder, stride, rows=23):
    """A data set as the step `window` leaves it behind, and every window that may be cut from it, by its name."""
    draw = np.random.default_rng(0)
    series = draw.normal(size=(rows, LONGEST, CHANNELS)).astype(np.float32)
    lengths = draw.integers(LOOK_BACK + HORIZON - 2, LONGEST + 1, rows).astype(np.int32)
    held = {"series": series, "length": lengths}
    dataset = make_dataset(folder, {"train": held}, (SERIES, LENGTH), shard_rows=[7, 3, 9, 4])
    learned = {"look_back": LOOK_BACK, "horizon": HORIZON, "stride": stride, "block": BLOCK}
    step = Step(name="window", version=1, config={}, learned=learned, rows_in=1, rows_out=1, seconds=0.0)
    (dataset.folder / contract.FILE).write_text(dataset.manifest.model_copy(update={"steps": (step,)}).text())
    windows = {}
    for row, length in enumerate(lengths):
        whole = sliding_window_view(series[row, :length], LOOK_BACK + HORIZON, axis=0) if length >= 8 else []
        for start in range(0, min(len(whole), BLOCK), stride):
            windows[f"train-{row}@{start}"] = whole[start].T
    return Dataset.open(dataset.folder, folder), windows


def windowed(dataset, *, targets=("series",), rank=0, ranks=1, shuffle=True, **options):
    defaults = {"seed": 7, "batch_size": 16, "window_mib": 40 * 64 / MIB, "engine": "arrow"}
    reading = Reading(**(defaults | options))
    return Feed(
        dataset, "train", dataset.manifest.signature(*targets), reading, rank=rank, ranks=ranks, shuffle=shuffle
    )


@pytest.mark.parametrize("memory", ["cached", "streamed"])
def test_windows_are_fed_without_a_warning(tmp_path, memory, recwarn):
    warnings.simplefilter("always")
    torch.set_warn_always(True)
    try:
        for _ in windowed(blocks(tmp_path, 1)[0], memory=memory):
            pass
    finally:
        torch.set_warn_always(False)
    assert [str(one.message) for one in recwarn] == []


@pytest.mark.parametrize("stride", [1, 3, 4])
@pytest.mark.parametrize("memory", ["cached", "streamed"])
@pytest.mark.parametrize("engine", ENGINES)
def test_every_window_comes_once_an_epoch_with_what_follows_it(tmp_path, stride, memory, engine):
    dataset, windows = blocks(tmp_path, stride)
    for ranks in (1, 4):
        found = {}
        for epoch in (0, 1):
            ids, parts = [], []
            feeds = [windowed(dataset, memory=memory, engine=engine, rank=rank, ranks=ranks) for rank in range(ranks)]
            for one in feeds:
                one.seek(epoch)
            for together in zip(*feeds, strict=True):
                whole = feeds[0].sample_ids(epoch, together[0].index)
                assert [name for one in feeds for name in one.own_sample_ids(epoch, together[0].index)] == whole
                ids += whole
                for part in together:
                    parts += [
                        torch.cat([read, predicted]).numpy()
                        for read, predicted, real in zip(part.arguments[0], part.truth, part.mask_B, strict=True)
                        if real
                    ]
            assert sorted(ids) == sorted(windows)
            assert all(np.array_equal(part, windows[one]) for one, part in zip(ids, parts, strict=True))
            found[epoch] = ids
        assert found[0] != found[1]


def test_windows_without_a_target_are_what_is_read_alone(tmp_path):
    dataset, windows = blocks(tmp_path, 1)
    one = windowed(dataset, targets=(), shuffle=False)
    seen = 0
    for batch in one:
        ids = one.sample_ids(0, batch.index)
        assert np.array_equal(batch.arguments[0][batch.mask_B], np.stack([windows[name][:LOOK_BACK] for name in ids]))
        assert batch.targets == {}
        seen += len(ids)
    assert seen == len(windows)


def test_a_block_is_held_once_for_inputs_and_targets(tmp_path):
    one = windowed(blocks(tmp_path, 1)[0], memory="cached")
    list(one)
    held = one._held.rows(one.statistics)
    assert np.shares_memory(held[0], held[1])
    assert one.shards.held_bytes == held[0].nbytes == 23 * LONGEST * CHANNELS * 4


@pytest.mark.bad_input
def test_windows_predict_nothing_but_their_series(tmp_path):
    dataset, _ = blocks(tmp_path, 1)
    with pytest.raises(BadData, match="windows predict 3 steps of 'series'"):
        dataset.manifest.signature("length")


@given(
    weights=st.lists(st.floats(0, 100), min_size=1, max_size=60).filter(lambda found: sum(found) > 1e-3),
    share=st.floats(0, 1, exclude_max=True),
)
def test_a_row_comes_as_often_as_its_rounded_weight(weights, share):
    wanted = np.array(weights) * len(weights) / sum(weights)
    drawn = Samples.drawn((len(weights),), np.array(weights), share)
    assert drawn.of_shard == (len(weights),)
    assert (np.abs(drawn.of_row - wanted) < 1 + 1e-9).all()


def test_over_many_starts_a_row_comes_exactly_as_often_as_its_weight():
    weights, starts = np.array([0.1, 0.5, 3.0, 0.0, 1.4]), 1000
    total = sum(Samples.drawn((5,), weights, at / starts).of_row for at in range(starts))
    assert np.allclose(total / starts, weights, atol=2 / starts)


@pytest.mark.parametrize("memory", ["cached", "streamed"])
def test_drawn_rows_are_the_rows_that_their_names_say(tmp_path, memory):
    dataset, held = made(tmp_path, 203, shard_rows=[30, 1, 60, 50, 62])
    counts = np.zeros(203)
    for ranks in (1, 2):
        for epoch in range(3):
            feeds = [feed(dataset, sampling="weighted", memory=memory, rank=rank, ranks=ranks) for rank in range(ranks)]
            for one in feeds:
                one.seek(epoch)
            ids, moods = [], []
            for together in zip(*feeds, strict=True):
                ids += feeds[0].sample_ids(epoch, together[0].index)
                moods += [row.numpy() for part in together for row in part.arguments[1][part.mask_B]]
                assert all(torch.equal(part.weight_B, part.mask_B.float()) for part in together)
            assert len(set(ids)) == len(ids) == 203
            rows = [int(one.removeprefix("train-").partition("#")[0]) for one in ids]
            assert np.array_equal(np.stack(moods), held["mood"][rows])
            np.add.at(counts, rows, 1)
    wanted = held["share"] * 203 / held["share"].sum()
    assert (np.abs(counts / 6 - wanted) < 1).all()


def test_valid_and_test_are_never_drawn(tmp_path):
    dataset, _ = made(tmp_path, 50)
    batches = list(feed(dataset, sampling="weighted", shuffle=False))
    assert sum(int(batch.mask_B.sum()) for batch in batches) == 50
    assert any(not torch.equal(batch.weight_B, batch.mask_B.float()) for batch in batches)


def test_what_is_fitted_at_once_gets_each_row_once_with_the_weight_that_it_would_be_drawn_by(tmp_path):
    dataset, held = made(tmp_path, 50, shard_rows=[20, 30])
    whole = feed(dataset, sampling="weighted").whole()
    assert whole.weight_B.tolist() == held["share"].astype(np.float32).tolist()
    assert np.array_equal(whole.arguments[1], held["mood"])


@pytest.mark.bad_input
def test_weights_that_no_row_can_be_drawn_by_are_refused(tmp_path):
    for wrong in (0.0, -1.0, float("nan")):
        held = values(20) | {"share": np.full(20, wrong)}
        dataset = make_dataset(tmp_path / str(wrong), {"train": held}, COLUMNS)
        with pytest.raises(BadData, match="finite, not negative and not all 0"):
            list(feed(dataset, sampling="weighted"))
    columns = [column for column in COLUMNS if column.role != "weight"]
    with pytest.raises(BadData, match="no weight column"):
        feed(make_dataset(tmp_path / "none", {"train": values(20)}, columns), sampling="weighted")


@pytest.mark.parametrize("memory", ["cached", "streamed"])
@pytest.mark.parametrize("window_mib", [40 * 160 / MIB, 1])
def test_buckets_keep_every_sample_and_save_padding(tmp_path, memory, window_mib):
    dataset, held = made(tmp_path, 203, shard_rows=[30, 1, 60, 50, 62])
    lengths = np.array([len(one) for one in held["tokens"]])
    plain, bucketed = ({"memory": memory, "window_mib": window_mib, "bucket_batches": n} for n in (0, 4))
    orders = []
    for ranks in (1, 4):
        feeds = [feed(dataset, **bucketed, rank=rank, ranks=ranks) for rank in range(ranks)]
        together = list(zip(*feeds, strict=True))
        orders.append([feeds[0].sample_ids(0, parts[0].index) for parts in together])
        for ids, parts in zip(orders[-1], together, strict=True):
            found = torch.cat([part.arguments[2].lengths_B[part.mask_B] for part in parts]).tolist()
            assert found == [lengths[int(one.removeprefix("train-"))] for one in ids]
    assert orders[0] == orders[1]
    ids = [one for batch in orders[0] for one in batch]
    assert sorted(ids) == sorted(f"train-{row}" for row in range(203))
    assert [len(batch) for batch in orders[0]] == [16] * 12 + [11]

    def padded(options):
        return sum(batch.arguments[2].values.numel() for batch in feed(dataset, **options))

    assert padded(bucketed) < padded(plain)


def test_within_a_bucket_batches_differ_in_length_and_their_order_is_drawn(tmp_path):
    dataset, held = made(tmp_path, 160)
    lengths = np.array([len(one) for one in held["tokens"]])
    one = feed(dataset, bucket_batches=10, window_mib=1)
    epoch = one.epoch(0)
    means = lengths[epoch.slots(0)].mean(axis=1)
    assert means.max() - means.min() > 5
    assert (np.diff(means) < 0).any()
    assert (np.diff(means) > 0).any()
    assert not np.array_equal(means, lengths[one.epoch(1).slots(0)].mean(axis=1))
    assert (epoch.slots(0) != NO_ROW).all()


@pytest.mark.parametrize(("rows", "batch_size", "lanes", "together"), [(39, 4, 2, 1), (79, 8, 8, 2)])
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_part_filled_batch_stays_the_last_for_ranks_whose_own_lanes_are_full(
    tmp_path, rows, batch_size, lanes, together, ranks
):
    dataset, held = made(tmp_path, rows)
    order = {"batch_size": batch_size, "lanes": lanes, "bucket_batches": together, "window_mib": 1}
    alone = [batch.truth[batch.mask_B].tolist() for batch in feed(dataset, **order)]
    feeds = [feed(dataset, **order, rank=rank, ranks=ranks) for rank in range(ranks)]
    for index, parts in enumerate(zip(*feeds, strict=True)):
        found = torch.cat([part.truth[part.mask_B] for part in parts]).tolist()
        own = [int(one.removeprefix("train-")) for one in feeds[0].sample_ids(0, index)]
        expected = (held["price"][own].astype(np.float32) - np.float32(TARGET_MAP.offset)) * np.float32(
            TARGET_MAP.factor
        )
        assert found == alone[index] == expected.tolist()
        assert {part.real for part in parts} == {len(found)}


@pytest.mark.bad_input
def test_buckets_without_lists_are_refused(tmp_path):
    columns = [column for column in COLUMNS if column.name != "tokens"]
    with pytest.raises(BadData, match="has no lists; leave it out"):
        feed(make_dataset(tmp_path, {"train": values(20)}, columns), bucket_batches=4)

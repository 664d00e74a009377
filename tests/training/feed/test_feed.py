from __future__ import annotations

import importlib.util
import os
import threading
import uuid

import fsspec
import numpy as np
import pytest
import torch

from millstream.tracking.dataset.shard_cache import LIMIT, Cache
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData, BadEnvironment, WrongRecipe
from millstream.training.feed import feed as feeds
from millstream.training.feed.collate import _full
from millstream.training.feed.feed import Feed, default_engine
from millstream.training.feed.plan.batch_order import NO_ROW
from millstream.training.feed.plan.config import MIB, Reading
from millstream.training.feed.read.shared_memory import MEMORY
from tests.datasets import make_dataset
from tests.training.feed.made import (
    COLUMNS,
    ENGINES,
    IMAGE_MAP,
    SMALL_WINDOW,
    TARGET_MAP,
    feed,
    made,
    values,
    values_of,
)
from tests.training.signatures import number

ROWS = 203


@pytest.fixture(scope="module")
def dataset_and_values(tmp_path_factory):
    return made(tmp_path_factory.mktemp("a folder"), ROWS, shard_rows=[30, 1, 60, 50, 62])


@pytest.fixture
def dataset(dataset_and_values):
    return dataset_and_values[0]


@pytest.fixture(params=[False, True], ids=["in turn", "beside"])
def beside(request, monkeypatch):
    monkeypatch.setattr(feeds, "is_worth_threads", lambda folder: request.param)


def expected(held, rows):
    """The batch of the given rows, written down with numpy alone; slots without a row are zero."""
    real = rows != NO_ROW
    lengths = np.array([len(held["tokens"][row]) if row != NO_ROW else 0 for row in rows])
    tokens = np.zeros((len(rows), max(1, lengths.max())), np.int64)
    for at, row in enumerate(rows):
        if row != NO_ROW:
            tokens[at, : lengths[at]] = held["tokens"][row]
    f = np.float32
    image = (held["image"][rows].astype(f) - f(IMAGE_MAP.offset)) * f(IMAGE_MAP.factor)
    price = (held["price"][rows].astype(f) - f(TARGET_MAP.offset)) * f(TARGET_MAP.factor)
    numbers = np.stack([held["width"][rows], held["count"][rows]], axis=1).astype(f)
    found = [image, held["mood"][rows], tokens, lengths, numbers, held["colour"][rows][:, None], price]
    found = [np.where(real.reshape(-1, *(1,) * (one.ndim - 1)), one, one.dtype.type(0)) for one in found]
    return [*found, np.where(real, held["share"][rows].astype(f), f(0)), real]


def tensors(batch):
    return [*values_of(batch), batch.weight_B, batch.mask_B]


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("memory", ["cached", "streamed"])
@pytest.mark.parametrize("ranks", [1, 2, 8])
@pytest.mark.parametrize("window_mib", [1 / MIB, SMALL_WINDOW, 1])
def test_each_rank_gets_the_planned_rows_to_the_bit(dataset_and_values, engine, memory, ranks, window_mib):
    dataset, held = dataset_and_values
    for rank in range(ranks):
        own = feed(dataset, engine=engine, memory=memory, rank=rank, ranks=ranks, window_mib=window_mib)
        plan, share = own.plan(0), 16 // ranks
        order = np.concatenate([plan.slots(k, range(8)) for k in range(plan.windows)])
        batches = list(own)
        assert len(batches) == len(own) == -(-ROWS // 16)
        for index, batch in enumerate(batches):
            rows = order[index, rank * share : (rank + 1) * share]
            for found, wanted in zip(tensors(batch), expected(held, rows), strict=True):
                assert found.dtype == torch.from_numpy(wanted).dtype
                assert np.array_equal(found.numpy(), wanted)
            assert (batch.epoch, batch.index, batch.ranks) == (0, index, ranks)
            assert batch.real == (order[index] != NO_ROW).sum()


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize("memory", ["cached", "streamed"])
def test_a_feed_resumed_at_any_batch_continues_as_if_uninterrupted(dataset, memory):
    unbroken = feed(dataset, memory=memory)
    wanted = [batch for _ in range(3) for batch in unbroken]
    broken = feed(dataset, memory=memory)
    states = [broken.state_dict()]
    for _ in range(3):
        for _batch in broken:
            states.append(broken.state_dict())
    for at in range(len(wanted)):
        resumed = feed(dataset, memory=memory)
        resumed.load_state_dict(states[at])
        batch = next(iter(resumed))
        assert (batch.epoch, batch.index) == (wanted[at].epoch, wanted[at].index)
        assert all(torch.equal(one, other) for one, other in zip(tensors(batch), tensors(wanted[at]), strict=True))
        resumed.load_state_dict(states[at])
        assert len(list(resumed)) == len(broken) - at % len(broken)
        assert len(resumed) == len(broken)


def test_the_state_moves_before_the_batch_is_handed_out_and_names_no_rank(dataset):
    one = feed(dataset, rank=1, ranks=2)
    assert one.state_dict()["batch"] == 0
    iterator = iter(one)
    assert one.state_dict()["batch"] == 0
    next(iterator)
    assert one.state_dict()["batch"] == 1
    assert one.state_dict() == {**feed(dataset).state_dict(), "batch": 1}
    assert all(type(value) in (int, str) for value in one.state_dict().values())


def test_a_state_of_another_order_is_refused_with_both_values(dataset):
    state = feed(dataset).state_dict()
    with pytest.raises(BadData, match=r"seed 7, here 8"):
        feed(dataset, seed=8).load_state_dict(state)
    with pytest.raises(BadData, match=r"batch_size 16, here 32.*|.*lanes"):
        feed(dataset, batch_size=32).load_state_dict(state)
    with pytest.raises(BadData, match=r"window_rows"):
        feed(dataset, window_mib=1 / MIB).load_state_dict(state)
    with pytest.raises(BadData, match=r"digest '0+', here"):
        feed(dataset).load_state_dict(state | {"digest": "0" * 32})


def test_making_an_iterator_opens_nothing(dataset):
    before = threading.active_count()
    one = feed(dataset, memory="streamed")
    iterators = [iter(one) for _ in range(3)]
    assert threading.active_count() == before
    assert one.statistics.bytes_read == 0
    del iterators


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize("engine", ENGINES)
def test_the_reader_is_gone_when_the_last_batch_is_out(dataset, engine):
    before = threading.active_count()
    one = feed(dataset, memory="streamed", engine=engine)
    iterator = iter(one)
    for _ in range(len(one)):
        next(iterator)
    assert threading.active_count() == before


@pytest.mark.usefixtures("beside")
def test_an_abandoned_pass_ends_its_threads(dataset):
    before = threading.active_count()
    iterator = iter(feed(dataset, memory="streamed"))
    next(iterator)
    iterator.close()
    assert threading.active_count() == before


def test_an_unshuffled_feed_starts_over_after_an_abandoned_pass(dataset):
    one = feed(dataset, shuffle=False)
    first = next(iter(one))
    again = next(iter(one))
    assert (again.epoch, again.index) == (0, 0)
    assert torch.equal(first.arguments[0], again.arguments[0])
    one.seek(0, 3)
    assert next(iter(one)).index == 3


@pytest.mark.parametrize("rows", [1, 5, 16, 17])
@pytest.mark.parametrize("memory", ["cached", "streamed"])
def test_splits_smaller_than_a_batch_fill_the_rest_with_masked_slots(tmp_path, rows, memory):
    dataset, held = made(tmp_path, rows)
    parts = [list(feed(dataset, memory=memory, rank=rank, ranks=8)) for rank in range(8)]
    assert {len(part) for part in parts} == {-(-rows // 16)}
    weights = sorted(float(w) for part in parts for batch in part for w in batch.weight_B[batch.mask_B])
    assert weights == sorted(np.float32(held["share"]).tolist())
    assert {batch.real for part in parts for batch in part[-1:]} == {rows - (len(parts[0]) - 1) * 16}


def test_an_empty_or_unknown_split_is_refused(tmp_path):
    dataset = make_dataset(tmp_path, {"train": values(0)}, COLUMNS)
    with pytest.raises(BadData, match="'train' has no rows"):
        feed(dataset)
    dataset, _ = made(tmp_path / "b", 3)
    with pytest.raises(BadData, match=r"no split 'tset'; it has \['train'\]"):
        Feed(dataset, "tset", dataset.manifest.signature("price"), Reading(batch_size=4))


def test_ranks_that_lanes_cannot_serve_are_refused(dataset):
    with pytest.raises(WrongRecipe, match="not shared by 3 ranks"):
        feed(dataset, rank=0, ranks=3)


def behind_a_url(local, limit):
    """The same version in another store, behind a cache of so many bytes."""
    memory, root = fsspec.filesystem("memory"), f"/{uuid.uuid4().hex}"
    for file in local.folder.rglob("*"):
        if file.is_file():
            memory.pipe(f"{root}/made/v1/{file.relative_to(local.folder)}", file.read_bytes())
    return Dataset.open(f"memory:/{root}/made/v1", f"memory:/{root}", Cache(local.folder.parent / root[1:], limit))


@pytest.mark.fault
@pytest.mark.parametrize("memory", ["cached", "streamed"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_split_that_is_larger_than_the_cache_is_read_by_arrow_alone_and_the_advice_states_it(
    tmp_path, engine, memory
):
    local, _ = made(tmp_path, 203, shard_rows=20)
    sizes = [shard.bytes for shard in local.shards("train")]
    larger = behind_a_url(local, sum(sizes) - 1)
    if engine == "arrow":
        found = [batch.truth.tolist() for batch in feed(larger, memory=memory)]
        assert found == [batch.truth.tolist() for batch in feed(local)]
        with pytest.raises(BadEnvironment, match=f"more are needed; set {LIMIT} higher$"):
            list(feed(behind_a_url(local, min(sizes) - 1), memory=memory))
    else:
        with pytest.raises(BadEnvironment, match=f"set {LIMIT} higher, or use engine arrow"):
            list(feed(larger, memory=memory, engine=engine))


def test_an_engine_that_is_not_installed_is_refused_with_the_other(dataset, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert default_engine() == "arrow"
    with pytest.raises(BadEnvironment, match="use engine arrow"):
        feed(dataset, engine="petastorm")


@pytest.mark.parametrize("name", ["two words", "class", "_hidden", "how satisfied, by e-mail?", "q" * 260])
def test_columns_whose_names_petastorm_cannot_read_are_read_by_arrow(tmp_path, name):
    columns = [number(name), *COLUMNS]
    held = values(20) | {name: np.arange(20, dtype=np.float32)}
    one = feed(make_dataset(tmp_path, {"train": held}, columns), engine=None)
    assert one.engine == (default_engine() if name.startswith("q") else "arrow")
    assert sum(int(batch.mask_B.sum()) for batch in one) == 20


def test_weights_are_one_without_a_weight_column(tmp_path):
    held, columns = values(20), [column for column in COLUMNS if column.role != "weight"]
    batches = list(feed(make_dataset(tmp_path, {"train": held}, columns)))
    assert sum(float(batch.weight_B.sum()) for batch in batches) == 20
    assert all(torch.equal(batch.weight_B, batch.mask_B.float()) for batch in batches)


def test_a_batch_of_a_size_that_was_measured_first_can_be_learned_from(tmp_path):
    held, columns = values(64), [column for column in COLUMNS if column.role != "weight"]
    made = make_dataset(tmp_path, {"train": held}, columns)
    _full.cache_clear()
    with torch.inference_mode():
        next(iter(feed(made)))
    batch = next(iter(feed(made)))
    per_row_B = torch.ones(len(batch.mask_B), requires_grad=True)
    batch.mean(per_row_B).backward()
    assert torch.equal(per_row_B.grad, batch.weight_B / batch.real)


def test_the_ids_of_a_batch_are_those_of_its_slots(dataset):
    one = feed(dataset)
    plan = one.plan(2)
    order = np.concatenate([plan.slots(k, range(8)) for k in range(plan.windows)])
    for index in (0, 5, len(one) - 1):
        wanted = [f"train-{row}" for row in order[index] if row != NO_ROW]
        assert one.sample_ids(2, index) == wanted


@pytest.mark.parametrize("engine", ENGINES)
def test_the_whole_split_comes_in_stored_order(dataset_and_values, engine):
    dataset, held = dataset_and_values
    whole = feed(dataset, engine=engine, rank=1, ranks=2).whole()
    for found, wanted in zip(tensors(whole), expected(held, np.arange(ROWS)), strict=True):
        assert np.array_equal(found.numpy(), wanted)
    assert (whole.real, whole.ranks) == (ROWS, 1)


@pytest.mark.parametrize("memory", ["cached", "streamed"])
def test_statistics_count_rows_and_bytes_of_one_pass(dataset, memory):
    one = feed(dataset, memory=memory, window_mib=1)
    for _ in range(2):
        list(one)
        assert one.statistics.rows == ROWS
        assert one.statistics.wait_s > 0
    stored = sum(shard.bytes for shard in dataset.shards("train"))
    assert one.statistics.bytes_read == (stored if memory == "streamed" else 0)


def test_small_splits_are_held_and_large_ones_streamed(dataset):
    assert feed(dataset, memory="auto").memory == "cached"
    assert feed(dataset, memory="auto", cache_mib=1000 / MIB).memory == "streamed"


@pytest.mark.parametrize("memory", ["cached", "streamed"])
def test_writing_into_a_batch_changes_no_later_batch(dataset, memory):
    one, other = feed(dataset, memory=memory), feed(dataset, memory=memory)
    for _ in range(2):
        for mine, theirs in zip(one, other, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(tensors(mine), tensors(theirs), strict=True))
            for tensor in tensors(mine):
                tensor.fill_(1)


@pytest.mark.bad_input
def test_a_data_set_of_text_alone_is_refused(tmp_path):
    columns = [column for column in COLUMNS if column.name == "text"]
    dataset = make_dataset(tmp_path, {"train": values(3)}, columns)
    with pytest.raises(BadData, match="no column that a network can read"):
        Feed(dataset, "train", dataset.manifest.signature(), Reading(batch_size=4))


def test_a_shared_split_has_the_same_batches_and_is_gone_afterwards(dataset):
    reading = Reading(seed=7, batch_size=16, window_mib=SMALL_WINDOW, memory="cached", engine="arrow")
    signature = dataset.manifest.signature("price")
    feeds = [Feed(dataset, "train", signature, reading, shared=True, rank=rank, ranks=2) for rank in range(2)]
    for rank, one in enumerate(feeds):
        for mine, alone in zip(one, feed(dataset, memory="cached", rank=rank, ranks=2), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(tensors(mine), tensors(alone), strict=True))
    held = MEMORY / f"millstream-{os.getuid()}" / feeds[0].shards.content()
    assert held.exists()
    del feeds, one, mine
    assert not held.exists()

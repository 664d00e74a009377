"""Each slot of a batch continues the sequence of the same slot of the batch before."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from millstream.tracking.errors import BadData
from millstream.training.feed.plan.batch_order import NO_ROW, own_lanes
from millstream.training.feed.plan.config import Reading
from millstream.training.feed.plan.contiguous import Contiguous, Sequences
from tests.training.feed.made import feed, made
from tests.training.feed.plan.test_batch_order import DIGEST, slow_key, slow_permutation
from tests.training.feed.series import LOOK_BACK, make_series, series, series_feed, windows


@st.composite
def orders(draw):
    lengths = draw(st.lists(st.integers(1, 30), min_size=1, max_size=8))
    samples = draw(st.permutations(range(sum(lengths))))
    shards = draw(st.lists(st.integers(0, sum(lengths)), max_size=4).map(sorted))
    lanes = draw(st.sampled_from([1, 2, 4]))
    return Contiguous(
        digest=DIGEST,
        seed=draw(st.integers(0, 99)),
        epoch=draw(st.integers(0, 3)),
        shard_rows=tuple(np.diff([0, *shards, sum(lengths)]).tolist()),
        batch_size=lanes * draw(st.integers(1, 4)),
        lanes=lanes,
        window_rows=draw(st.integers(1, 100)),
        shuffle=draw(st.booleans()),
        sequences=Sequences(np.array(samples), np.array(lengths)),
    )


def listed(order):
    """The samples of each sequence."""
    ends = np.cumsum(order.sequences.lengths).tolist()
    return [
        order.sequences.samples.tolist()[end - size : end]
        for end, size in zip(ends, order.sequences.lengths, strict=True)
    ]


def by_hand(order):
    """Sample and flag of each slot of each batch: spans of the laid out sequences, one slot at a time."""
    base = (order.digest, order.seed, order.epoch, order.batch_size, "contiguous")
    sequences, n, B = listed(order), order.rows, order.batch_size
    if order.shuffle:
        sequences = [sequences[at] for at in slow_permutation(len(sequences), slow_key(*base, "sequences"))]
    tape = [(sample, at == 0) for one in sequences for at, sample in enumerate(one)]
    turn = slow_key(*base, "turn") % n if order.shuffle else 0
    tape = tape[turn:] + tape[:turn]
    spans = [tape[n * slot // B : n * (slot + 1) // B] for slot in range(B)]
    batches = range(-(-n // B))
    samples = [[span[t][0] if t < len(span) else NO_ROW for span in spans] for t in batches]
    return samples, [[t == 0 or (t < len(span) and span[t][1]) for span in spans] for t in batches]


def whole(order, lanes=None):
    own = lanes or range(order.lanes)
    return np.concatenate([order.slots(k, own) for k in range(order.windows)])


@settings(max_examples=60, deadline=None)
@given(orders())
def test_slots_and_flags_are_those_of_the_spans_for_any_number_of_ranks(order):
    samples, begins = by_hand(order)
    for ranks in (ranks for ranks in (1, 2, 4) if order.lanes % ranks == 0):
        own = [own_lanes(rank, ranks, order.lanes, order.batch_size) for rank in range(ranks)]
        assert np.concatenate([whole(order, one) for one in own], axis=1).tolist() == samples
        every = range(order.batches)
        assert np.concatenate([order.begins(every, one) for one in own], axis=1).tolist() == begins


@settings(max_examples=60, deadline=None)
@given(orders())
def test_a_slot_continues_with_the_next_sample_of_its_sequence_unless_it_is_flagged(order):
    after = {one: after for sequence in listed(order) for one, after in itertools.pairwise(sequence)}
    firsts = {sequence[0] for sequence in listed(order)}
    slots, begins = whole(order), order.begins(range(order.batches), range(order.lanes))
    assert begins[0].all()
    for t in range(1, order.batches):
        for last, one, is_first in zip(slots[t - 1].tolist(), slots[t].tolist(), begins[t].tolist(), strict=True):
            assert one == NO_ROW or (one in firsts if is_first else one == after[last])
    assert sorted(slots[slots != NO_ROW].tolist()) == list(range(order.rows))
    assert (slots[:-1] != NO_ROW).all()


@settings(max_examples=30, deadline=None)
@given(orders())
def test_a_window_reads_the_shards_of_its_samples(order):
    shard_of = np.repeat(np.arange(len(order.shard_rows)), order.shard_rows)
    for k in range(order.windows):
        found = order.slots(k, range(order.lanes))
        assert order.shards(k, range(order.lanes)) == sorted(set(shard_of[found[found != NO_ROW]].tolist()))


def expected():
    """The windows of each stretch in the order of time, entities in the order of their names."""
    return [windows(stretch) for _, stretches in sorted(series().items()) for stretch in stretches]


TIMES = {
    "integers": str,
    "numbers": lambda step: f"{step * 1.0}",
    "dates": lambda step: f"2026-01-01 00:{step // 60:02}:{step % 60:02}",
}


@pytest.mark.parametrize("kind", TIMES)
def test_the_sequences_of_a_dataset_are_its_stretches_in_the_order_of_time(tmp_path, kind):
    one = series_feed(make_series(tmp_path, time=TIMES[kind]), shuffle=False, batch_size=1)
    found, sequences = list(one), expected()
    assert [int(batch.streams.begins_B[0]) for batch in found] == [
        int(at == 0) for sequence in sequences for at in range(len(sequence))
    ]
    for batch, window in zip(found, (window for sequence in sequences for window in sequence), strict=True):
        np.testing.assert_array_equal(batch.arguments[0][0], window[:LOOK_BACK])
        np.testing.assert_array_equal(batch.truth[0], window[LOOK_BACK:])


@pytest.mark.parametrize("memory", ["cached", "streamed"])
@pytest.mark.parametrize("window_mib", [256, 1e-4])
def test_batches_are_the_same_for_any_number_of_ranks_and_after_a_resumption(tmp_path, memory, window_mib):
    dataset = make_series(tmp_path)
    options = {"memory": memory, "window_mib": window_mib}

    def read(ranks, start=0):
        feeds = [series_feed(dataset, rank=rank, ranks=ranks, **options) for rank in range(ranks)]
        for one in feeds:
            one.load_state_dict(one.state_dict() | {"epoch": 1, "batch": start})
        return [
            [torch.cat(parts) for parts in zip(*(_tensors(part) for part in parts), strict=True)]
            for parts in zip(*feeds, strict=True)
        ]

    alone = read(1)
    assert len(alone) == -(-sum(map(len, expected())) // 4)
    for found in (read(2), read(4), read(1, 3), read(2, 3)):
        for batch, same in zip(found, alone[-len(found) :], strict=True):
            assert all(torch.equal(one, other) for one, other in zip(batch, same, strict=True))


def _tensors(part):
    return part.arguments[0], part.truth, part.mask_B, part.streams.begins_B


def test_epochs_differ_and_evaluation_is_read_as_it_is(tmp_path):
    dataset = make_series(tmp_path)
    one = series_feed(dataset)
    assert one.sample_ids(0, 1) != one.sample_ids(1, 1)
    held = series_feed(dataset, shuffle=False)
    assert [held.sample_ids(0, at) for at in range(len(held))] == [held.sample_ids(5, at) for at in range(len(held))]


@pytest.mark.bad_input
def test_data_without_an_order_and_states_of_another_order_are_refused(tmp_path):
    with pytest.raises(BadData, match=r"fit\.order: contiguous: the rows of the dataset have no order"):
        feed(made(tmp_path / "rows", 20)[0], order="contiguous")
    with pytest.raises(BadData, match=r"start 2 steps apart.*set the stride to 4"):
        series_feed(make_series(tmp_path / "close", stride=2))
    with pytest.raises(BadData, match=r"'step .*' is neither a number nor a time"):
        series_feed(make_series(tmp_path / "odd", time=lambda step: f"step {step}"))
    dataset = make_series(tmp_path / "series")
    shuffled, contiguous = (series_feed(dataset, order=order) for order in ("shuffled", "contiguous"))
    for one, other in ((shuffled, contiguous), (contiguous, shuffled)):
        with pytest.raises(BadData, match="the checkpoint's feed had order"):
            one.load_state_dict(other.state_dict())
    for more in ({"sampling": "weighted"}, {"bucket_batches": 4}):
        with pytest.raises(ValidationError, match="keeps sequences whole"):
            Reading(order="contiguous", **more)

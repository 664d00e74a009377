"""Length buckets: samples of like length in a batch, in an order that is still a pure function."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.tracking.dataset.records import Column
from millstream.training.feed.feed import Feed
from millstream.training.feed.plan.batch_order import own_lanes
from millstream.training.feed.plan.config import Reading
from millstream.training.feed.plan.epoch import Epoch
from millstream.training.feed.plan.samples import Samples
from tests.datasets import make_dataset
from tests.training.feed.plan.test_batch_order import plans, slow_batches, slow_key, slow_permutation


def by_hand(plan, length, together):
    """Each lane of each bucket sorted and cut again, and its batches permuted, one sample at a time."""
    b, B = plan.batch_size // plan.lanes, plan.batch_size
    base = (plan.digest, plan.seed, plan.epoch, plan.lanes, B, plan.window_rows)
    batches, found = slow_batches(plan), []
    for k in range(plan.windows):
        window = [batches[g] for g in plan.window(k)]
        full = [batch for batch in window if -1 not in batch]
        mixed = slow_key(*base, "length", k)
        for number, first in enumerate(range(0, len(full), together)):
            some = full[first : first + together]
            lanes = [sorted((s for batch in some for s in batch[at : at + b]), key=length) for at in range(0, B, b)]
            cut = [[s for lane in lanes for s in lane[at * b : at * b + b]] for at in range(len(some))]
            found += [cut[at] for at in slow_permutation(len(cut), slow_key(mixed, number))]
        found += window[len(full) :]
    return found


@settings(max_examples=60, deadline=None)
@given(plans(shuffle=True), st.integers(1, 6), st.integers(0, 99))
def test_buckets_are_sorted_lanes_in_each_window_for_any_number_of_ranks(plan, together, seed):
    lengths = np.random.default_rng(seed).integers(0, 9, plan.rows)
    known = SimpleNamespace(of=lambda rows: lengths[rows])
    expected = by_hand(plan, lambda sample: lengths[sample], together)
    for ranks in (ranks for ranks in (1, 2, 4) if plan.lanes % ranks == 0):
        parts = []
        for rank in range(ranks):
            own = own_lanes(rank, ranks, plan.lanes, plan.batch_size)
            epoch = Epoch(plan, Samples(plan.shard_rows), own, known, together)
            parts.append(np.concatenate([epoch.slots(k) for k in range(plan.windows)]))
        assert np.concatenate(parts, axis=1).tolist() == expected


def test_the_length_of_a_pair_is_that_of_both_of_its_lists(tmp_path):
    draw = np.random.default_rng(0)
    held = {name: [np.ones(draw.integers(1, 20)) for _ in range(96)] for name in ("source", "wanted")}
    columns = [
        Column(
            name=name,
            dtype="int64",
            layout="list",
            shape=(20,),
            role=role,
            meaning="tokens",
            vocabulary=("(pad)", "(unknown)"),
        )
        for name, role in (("source", "input"), ("wanted", "target"))
    ]
    dataset = make_dataset(tmp_path, {"train": held}, columns, shard_rows=40)
    reading = Reading(batch_size=8, lanes=1, bucket_batches=12, engine="arrow")
    feed = Feed(dataset, "train", dataset.manifest.signature("wanted"), reading)
    batches = [
        [len(held["source"][row]) + len(held["wanted"][row]) for row in slots] for slots in feed.epoch(0).slots(0)
    ]
    assert [one for batch in sorted(batches) for one in batch] == sorted(one for batch in batches for one in batch)
    feed.seek(0, 5)
    rest = [(batch.inputs["source"].lengths_B + batch.targets["wanted"].lengths_B).tolist() for batch in feed]
    assert rest == batches[5:]

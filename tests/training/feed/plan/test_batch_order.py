from __future__ import annotations

import hashlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.tracking.errors import WrongRecipe
from millstream.training.feed.plan.batch_order import NO_ROW, Plan, default_lanes, own_lanes, permutation

DIGEST = "00112233445566778899aabbccddeeff"
MASK = 2**64 - 1


def slow_key(*parts):
    return int.from_bytes(hashlib.sha256("|".join(str(part) for part in parts).encode()).digest()[:8], "little")


def slow_permutation(n, mixed):
    def mix(i):
        z = (i * 0x9E3779B97F4A7C15 + mixed) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    return sorted(range(n), key=mix)


def slow_batches(plan):
    """Every global batch of an epoch as lists of rows, written down from the formulas one slot at a time."""
    n, B, L, W = sum(plan.shard_rows), plan.batch_size, plan.lanes, plan.window_rows
    base = (plan.digest, plan.seed, plan.epoch, L, B, W)
    b, G = B // L, -(-n // B)
    stored, at = [], 0
    for size in plan.shard_rows:
        stored.append(list(range(at, at + size)))
        at += size
    if not plan.shuffle:
        tape = list(range(n))
    elif n <= W:
        tape = slow_permutation(n, slow_key(*base, "full"))
    else:
        laid = [row for shard in slow_permutation(len(stored), slow_key(*base, "shards")) for row in stored[shard]]
        turn = slow_key(*base, "rot") % n
        tape = laid[turn:] + laid[:turn]
    count = 1 if n <= W else -(-G // max(1, W // B))
    made = [[NO_ROW] * B for _ in range(G)]
    for k in range(count):
        first, last = G * k // count, G * (k + 1) // count
        for lane in range(L):
            a, m = n * lane // L, n * (lane + 1) // L - n * lane // L
            lo, hi = a + min(m, b * first), a + min(m, b * last)
            inside = list(range(hi - lo))
            if plan.shuffle and n > W:
                inside = slow_permutation(hi - lo, slow_key(*base, "win", lane, k))
            for i, place in enumerate(inside):
                made[first + i // b][lane * b + i % b] = tape[lo + place]
    return made


def all_slots(plan, lanes=None):
    own = range(plan.lanes) if lanes is None else lanes
    return np.concatenate([plan.slots(k, own) for k in range(plan.windows)])


@st.composite
def plans(draw, shuffle=None):
    lanes = draw(st.sampled_from([1, 2, 4, 8]))
    return Plan(
        digest=DIGEST,
        seed=draw(st.integers(0, 2**32)),
        epoch=draw(st.integers(0, 3)),
        shard_rows=tuple(draw(st.lists(st.integers(0, 60), min_size=1, max_size=12).filter(any))),
        batch_size=lanes * draw(st.integers(1, 6)),
        lanes=lanes,
        window_rows=draw(st.integers(1, 300)),
        shuffle=draw(st.booleans()) if shuffle is None else shuffle,
    )


@given(n=st.integers(0, 300), mixed=st.integers(0, MASK))
def test_a_permutation_is_the_sort_by_mixed_numbers(n, mixed):
    assert permutation(n, mixed).tolist() == slow_permutation(n, mixed)


def test_a_permutation_never_changes_from_release_to_release():
    assert permutation(12, 2026).tolist() == [0, 10, 9, 11, 4, 2, 3, 6, 5, 8, 1, 7]


@settings(max_examples=200, deadline=None)
@given(plans())
def test_every_slot_holds_what_the_formulas_say(plan):
    assert all_slots(plan).tolist() == slow_batches(plan)


@settings(max_examples=200, deadline=None)
@given(plans())
def test_each_row_comes_once_and_only_the_last_batch_has_empty_slots(plan):
    slots = all_slots(plan)
    assert slots.shape == (plan.batches, plan.batch_size)
    assert sorted(slots[slots != NO_ROW].tolist()) == list(range(plan.rows))
    assert (slots[:-1] != NO_ROW).all()
    real = (slots[-1].reshape(plan.lanes, -1) != NO_ROW).sum(axis=1)
    assert real.max() - real.min() <= 1


@settings(max_examples=100, deadline=None)
@given(plans())
def test_ranks_share_one_order_however_many_they_are(plan):
    together = all_slots(plan)
    for ranks in (ranks for ranks in (1, 2, 4, 8) if plan.lanes % ranks == 0):
        parts = [all_slots(plan, own_lanes(rank, ranks, plan.lanes, plan.batch_size)) for rank in range(ranks)]
        assert np.array_equal(np.concatenate(parts, axis=1), together)


@settings(max_examples=100, deadline=None)
@given(plans())
def test_a_batch_is_found_in_its_window(plan):
    for batch in range(plan.batches):
        assert batch in plan.window(plan.window_of(batch))
    assert [g for k in range(plan.windows) for g in plan.window(k)] == list(range(plan.batches))


@settings(max_examples=100, deadline=None)
@given(plans())
def test_a_window_names_all_shards_that_it_reads(plan):
    owner = np.repeat(np.arange(len(plan.shard_rows)), plan.shard_rows)
    for k in range(plan.windows):
        rows = plan.slots(k, range(plan.lanes))
        read = set(owner[rows[rows != NO_ROW]].tolist())
        named = plan.shards(k, range(plan.lanes))
        assert len(named) == len(set(named))
        assert read == set(named)


@settings(max_examples=50, deadline=None)
@given(plans(shuffle=False))
def test_without_shuffling_each_lane_reads_its_span_in_stored_order(plan):
    lanes = all_slots(plan).reshape(plan.batches, plan.lanes, -1).transpose(1, 0, 2).reshape(plan.lanes, -1)
    rows = np.concatenate([lane[lane != NO_ROW] for lane in lanes])
    assert rows.tolist() == list(range(plan.rows))


def test_epochs_seeds_and_contents_give_other_orders():
    first = Plan(DIGEST, 1, 0, (100,) * 4, 8, 8, 40)
    others = [Plan(DIGEST, 1, 1, *_rest), Plan(DIGEST, 2, 0, *_rest), Plan("ff" * 16, 1, 0, *_rest)]
    for other in others:
        assert (all_slots(first) != all_slots(other)).mean() > 0.9


_rest = ((100,) * 4, 8, 8, 40)


def test_a_hundred_million_rows_are_planned_without_holding_them():
    plan = Plan(DIGEST, 0, 0, (100_000_000 // 4096,) * 4096, 256, 8, 65536)
    tracemalloc.start()
    slots = plan.slots(plan.windows // 2, range(8))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert slots.shape[1] == 256
    assert len(np.unique(slots)) == slots.size
    assert peak < 16 << 20  # 400 million bytes would be the order of all rows


@pytest.mark.parametrize(("batch_size", "lanes"), [(128, 8), (12, 4), (6, 2), (7, 1), (1, 1)])
def test_default_lanes_are_the_most_that_divide_the_batch(batch_size, lanes):
    assert default_lanes(batch_size) == lanes


def test_lanes_that_do_not_divide_are_refused_with_those_that_would_do():
    with pytest.raises(WrongRecipe, match=r"8 lanes do not divide the global batch of 12; .*\[1, 2, 3, 4, 6, 12\]"):
        own_lanes(0, 1, 8, 12)
    with pytest.raises(WrongRecipe, match=r"8 lanes are not shared by 3 ranks; .*\[3, 6, 12, 24\]"):
        own_lanes(0, 3, 8, 24)
    with pytest.raises(WrongRecipe, match="take a batch_size that 5 ranks divide"):
        own_lanes(0, 5, 8, 8)

from __future__ import annotations

import hashlib
import importlib.util

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text

from millstream.training.diagnostics.batch_image import batch_figure
from millstream.training.diagnostics.feed_hash import walk
from millstream.training.feed import feed as feeds
from millstream.training.feed.batch import Ragged
from millstream.training.feed.plan.config import Reading
from tests.training.feed.made import ENGINES, SMALL_WINDOW, feed, made, values_of

INSTALLED = ["arrow", "petastorm"] if importlib.util.find_spec("petastorm") else ["arrow"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return made(tmp_path_factory.mktemp("walk"), 203, shard_rows=25)[0]


def walked(dataset, *, epoch=0, ranks=1, show=None, **options):
    reading = Reading(**({"seed": 7, "batch_size": 16, "engine": "arrow"} | options))
    return walk(dataset, "train", dataset.manifest.signature("price"), reading, epoch=epoch, ranks=ranks, show=show)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("memory", ["cached", "streamed"])
@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
def test_the_stream_has_one_hash_however_it_is_read(dataset, engine, memory, ranks):
    found = walked(dataset, engine=engine, memory=memory, ranks=ranks)
    assert found.hash == walked(dataset).hash
    assert (found.batches, found.samples) == (13, 203)


SHAPES = st.fixed_dictionaries(
    {
        "rows": st.integers(1, 120),
        "shard_rows": st.integers(1, 130),
        "lanes": st.sampled_from([1, 2, 4, 8]),
        "lane_rows": st.integers(1, 6),
        "window_mib": st.sampled_from([SMALL_WINDOW / 8, SMALL_WINDOW, 1]),
        "seed": st.integers(0, 9),
        "epoch": st.integers(0, 3),
        "bucket_batches": st.sampled_from([0, 1, 2, 50]),
    }
)
MEANS = st.tuples(st.sampled_from(INSTALLED), st.sampled_from(["cached", "streamed"]), st.integers(1, 4), st.booleans())


@pytest.mark.soak
@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
def test_any_split_has_one_stream_to_any_ranks_engine_memory_and_threads(tmp_path_factory, ranks, soak, monkeypatch):
    @settings(max_examples=500 if soak else 25, deadline=None)
    @given(shape=SHAPES, means=MEANS)
    def holds(shape, means):
        lanes, (engine, memory, threads, beside) = max(ranks, shape["lanes"]), means
        monkeypatch.setattr(feeds, "is_worth_threads", lambda folder: beside)
        split, _ = made(tmp_path_factory.mktemp("any"), shape["rows"], shard_rows=shape["shard_rows"])
        order = {
            "lanes": lanes,
            "batch_size": lanes * shape["lane_rows"],
            **{name: shape[name] for name in ("window_mib", "seed", "epoch", "bucket_batches")},
        }
        found = {}
        for chosen in [{"memory": "cached"}, {"ranks": ranks, "engine": engine, "memory": memory}]:
            torch.set_num_threads(threads if "ranks" in chosen else 1)
            found[len(found)] = walked(split, **order, **chosen)
        assert found[0].hash == found[1].hash
        assert found[1].samples == shape["rows"]
        assert found[1].batches == -(-shape["rows"] // order["batch_size"])

    before = torch.get_num_threads()
    try:
        holds()
    finally:
        torch.set_num_threads(before)


def test_another_epoch_or_seed_has_another_hash(dataset):
    hashes = {walked(dataset).hash, walked(dataset, epoch=1).hash, walked(dataset, seed=8).hash}
    assert len(hashes) == 3


def test_the_hash_covers_the_real_rows_slot_by_slot(dataset):
    digest, longest = hashlib.sha256(), 9
    for batch in feed(dataset, window_mib=256):
        for slot in np.flatnonzero(batch.mask_B.numpy()):
            for at, tensor in enumerate([*values_of(batch), batch.weight_B]):
                row = tensor[slot].numpy()
                digest.update(np.pad(row, (0, longest - len(row))).tobytes() if at == 2 else row.tobytes())
    assert walked(dataset).hash == digest.hexdigest()


def test_the_figure_shows_columns_and_tokens_and_is_written(dataset, tmp_path):
    batch = next(iter(feed(dataset)))
    figure = batch_figure(batch, dataset.manifest.signature("price"))
    texts = {text.get_text() for text in figure.findobj(Text)}
    assert {"width", "count", "colour"} <= texts
    vocabulary = "_?abcd"
    (tokens,) = (value for value in batch.inputs.values() if isinstance(value, Ragged))
    length = int(tokens.lengths_B[0])
    assert any(
        "".join(vocabulary[token] for token in tokens.values[0][:length]) in text.replace(" ", "") for text in texts
    )
    walked(dataset, show=tmp_path / "first.png")
    assert (tmp_path / "first.png").read_bytes().startswith(b"\x89PNG")

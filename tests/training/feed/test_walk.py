from __future__ import annotations

import hashlib

import numpy as np
import pytest
from matplotlib.text import Text

from tests.training.feed.made import ENGINES, feed, made
from training.feed.picture import picture
from training.feed.reading import Reading
from training.feed.walk import walk


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


def test_another_epoch_or_seed_has_another_hash(dataset):
    hashes = {walked(dataset).hash, walked(dataset, epoch=1).hash, walked(dataset, seed=8).hash}
    assert len(hashes) == 3


def test_the_hash_covers_the_real_rows_slot_by_slot(dataset):
    digest, longest = hashlib.sha256(), 9
    for batch in feed(dataset, window_mib=256):
        for slot in np.flatnonzero(batch.mask_B.numpy()):
            for at, tensor in enumerate([*batch.inputs, batch.target, batch.weight_B]):
                row = tensor[slot].numpy()
                digest.update(np.pad(row, (0, longest - len(row))).tobytes() if at == 2 else row.tobytes())
    assert walked(dataset).hash == digest.hexdigest()


def test_the_picture_shows_columns_and_tokens_and_is_written(dataset, tmp_path):
    batch = next(iter(feed(dataset)))
    figure = picture(batch, dataset.manifest.signature("price"))
    told = {text.get_text() for text in figure.findobj(Text)}
    assert {"width", "count", "colour"} <= told
    vocabulary = "_?abcd"
    length = int(batch.inputs[3][0])
    assert any(
        "".join(vocabulary[token] for token in batch.inputs[2][0][:length]) in text.replace(" ", "") for text in told
    )
    walked(dataset, show=tmp_path / "first.png")
    assert (tmp_path / "first.png").read_bytes().startswith(b"\x89PNG")

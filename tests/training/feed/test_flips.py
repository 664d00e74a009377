"""One bit flipped anywhere in a dataset version: nobody ever gets another number for it."""

import random

import pytest

from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData
from millstream.tracking.verification.verify import verify
from tests.training.feed.made import feed, made


@pytest.mark.fault
def test_a_flipped_bit_is_never_fed_and_always_found(tmp_path, soak):
    dataset, _ = made(tmp_path, 60)
    files = [dataset.folder / "manifest.json", *(dataset.folder / one.file for one in dataset.shards("train"))]
    weights, draw = [path.stat().st_size for path in files], random.Random(0)
    for turn in range(1000 if soak else 40):
        (path,) = draw.choices(files, weights)
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(BadData, match=path.name):
            list(feed(Dataset.open(dataset.folder, tmp_path), engine="arrow", memory=("cached", "streamed")[turn % 2]))
        if path.name != "manifest.json":  # with a damaged one there is no version to verify
            assert any(path.name in fault.where for fault in verify(Dataset.open(dataset.folder, tmp_path)))
        path.write_bytes(whole)
    assert verify(dataset) == []

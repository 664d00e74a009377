"""A pickle that lies beside the shards is never opened, whoever put it there."""

import pickle
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from millstream.tracking.verification.verify import verify
from tests.training.feed.made import ENGINES, feed, made


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return Path.touch, (Path(self.file),)


@pytest.mark.security
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["split=train/_common_metadata", "split=train/_metadata", "_common_metadata"])
def test_a_pickled_schema_beside_the_shards_is_never_opened(tmp_path, engine, name):
    dataset, _ = made(tmp_path, 40)
    sprung = tmp_path / "sprung"
    schema = pq.read_schema(dataset.folder / dataset.shards("train")[0].file)
    hidden = {b"dataset-toolkit.unischema.v1": pickle.dumps(Trap(sprung))}
    pq.write_metadata(schema.with_metadata(hidden), dataset.folder / name)
    assert sum(int(batch.mask_B.sum()) for batch in feed(dataset, engine=engine)) == 40
    assert not sprung.exists()
    assert [fault.where for fault in verify(dataset)] == [str(dataset.folder / name)]
    pickle.loads(hidden[b"dataset-toolkit.unischema.v1"])
    assert sprung.exists()  # the trap works

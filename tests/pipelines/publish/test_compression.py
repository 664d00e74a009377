import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millstream.pipelines.publish.compression import compression
from millstream.pipelines.publish.shard_writer import write_part
from millstream.tracking.verification.content_digest import batches_digest

ROWS = 4_000


@pytest.fixture(scope="module")
def rows():
    draws = np.random.default_rng(7)
    words = draws.choice(["a word", "another one", "and a third"], ROWS)
    tokens = [draws.integers(0, 50, size=length) for length in draws.integers(0, 40, size=ROWS)]
    return pa.table(
        {
            "sample_id": [f"row-{at}" for at in range(ROWS)],
            "op": pa.nulls(ROWS, pa.string()),
            "photograph": pa.array([draws.bytes(300) for _ in range(ROWS)], pa.binary()),
            "drawing": pa.array([bytes(290) + draws.bytes(10) for _ in range(ROWS)], pa.binary()),
            "a measured.number": draws.normal(size=ROWS),
            "count": draws.poisson(3, size=ROWS),
            "words": words,
            "tokens": pa.array(tokens, pa.list_(pa.int64())),
        }
    )


def test_what_hardly_gets_smaller_is_kept_as_it_is(rows, tmp_path):
    written = write_part(rows.to_batches(), str(tmp_path / "part.parquet"))
    group = pq.read_metadata(tmp_path / "part.parquet").row_group(0)
    columns = {group.column(at).path_in_schema: group.column(at) for at in range(group.num_columns)}
    plain = {name for name, column in columns.items() if column.compression == "UNCOMPRESSED"}
    assert plain == {"photograph", "a measured.number", "op"}
    for name in columns.keys() - plain:
        assert columns[name].total_compressed_size < 0.75 * columns[name].total_uncompressed_size
    found = pq.read_table(tmp_path / "part.parquet")
    assert found.equals(rows)
    assert written.digest == batches_digest(rows.to_batches())


def test_the_first_rows_decide_and_no_rows_need_no_codec(rows):
    # a shard of any size costs the same look
    assert compression(rows) == compression(rows.slice(0, ROWS // 2))
    assert compression(rows.slice(0, 0)) == {}

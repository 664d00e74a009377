import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from millstream.tracking.errors import BadData
from millstream.training.assembly import model_folder
from millstream.training.feed.batch import Ragged
from tests.training.feed.made import feed, made


def test_a_served_row_becomes_what_the_feed_makes_of_it(tmp_path):
    dataset, _ = made(tmp_path, 40)
    stored = pd.concat(pq.read_table(dataset.verified(shard)).to_pandas() for shard in dataset.shards("train"))
    signature = dataset.manifest.signature("price")
    fed = feed(dataset).whole().arguments
    served = model_folder.tensors(stored.reset_index(drop=True), signature)
    assert len(served) == len(fed)
    for one, other in zip(served, fed, strict=True):
        if isinstance(one, Ragged):
            assert torch.equal(one.lengths_B, other.lengths_B)
            one, other = one.values, other.values
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.bad_input
def test_an_image_of_another_size_is_refused_with_the_shape(tmp_path):
    dataset, held = made(tmp_path, 4)
    rows = pd.DataFrame({column.name: list(held[column.name]) for column in dataset.manifest.columns})
    rows["image"] = [np.zeros(11, np.uint8)] * 4
    with pytest.raises(BadData, match=r"column 'image': 11 numbers in a row; expected the shape \(1, 3, 4\)"):
        model_folder.tensors(rows, dataset.manifest.signature("price"))

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from millstream.pipelines.readers import origin_files
from millstream.pipelines.sources.matlab import Matlab
from millstream.tracking.errors import BadData
from tests.pipelines.made import rows_of

pytestmark = pytest.mark.spark


def cell(*pieces):
    found = np.empty((1, len(pieces)), object)
    for at, piece in enumerate(pieces):
        found[0, at] = piece
    return found


def roll(steps, keys=5, seed=0):
    return np.random.default_rng(seed).integers(0, 2, (steps, keys)).astype(np.uint8)


def read(spark, folder, train, **fields):
    path = folder / "m.mat"
    savemat(path, {"traindata": cell(*train), "validdata": cell(roll(3, seed=8)), "testdata": cell(roll(2, seed=9))})
    return Matlab(file={"name": "m.mat"}, **fields).read(spark, {"m.mat": path}, 0)


def test_each_piece_is_a_row_with_zeros_behind_its_steps(spark, tmp_path):
    pieces = [roll(4), roll(6, seed=1)]
    table = read(spark, tmp_path, pieces)
    rows = rows_of(table, "sample_id", "split", "steps", "roll")
    assert [row[:3] for row in rows] == [
        ("test/0000", "test", 2),
        ("train/0000", "train", 4),
        ("train/0001", "train", 6),
        ("valid/0000", "valid", 3),
    ]
    found = np.frombuffer(rows[1][3], np.uint8).reshape(table.column("roll").shape)
    assert found.shape == (6, 5)
    assert np.array_equal(found[:4], pieces[0])
    assert not found[4:].any()


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("piece", "reason"),
    [
        (roll(4, keys=6), "has another number of keys than the first piece"),
        (roll(11), "is longer than 10 steps"),
        (np.full((4, 5), 2), "has numbers other than 0 and 1"),
        (np.full((4, 5), np.nan), "has numbers other than 0 and 1"),
        (np.zeros((0, 5)), "is no matrix of steps and keys"),
        (np.array(["text"]), "is no matrix of steps and keys"),
    ],
)
def test_a_piece_that_does_not_fit_is_quarantined(spark, tmp_path, piece, reason):
    table = read(spark, tmp_path, [roll(4), piece], longest=10)
    assert [(row.sample_id, row.reason) for row in table.refused.collect()] == [("train/0001", reason)]
    assert len(rows_of(table, "sample_id")) == 3


@pytest.mark.bad_input
@pytest.mark.parametrize("content", [b"", b"hello", b"MATLAB 5.0 MAT-file" + bytes(200)])
def test_a_file_of_another_kind_is_refused(spark, tmp_path, content):
    path = tmp_path / "m.mat"
    path.write_bytes(content)
    with pytest.raises(BadData, match=r"m\.mat: (cannot be read as a MATLAB 5 file|no cells)"):
        Matlab(file={"name": "m.mat"}).read(spark, {"m.mat": path}, 0)


@pytest.mark.mirror
def test_chorales_are_read_in_their_splits(spark, settings):
    source = Matlab(file={"name": "polyphonic_music/JSB_Chorales.mat"})
    files = {file.name: path for file, path in origin_files.locate_all(source, settings).items()}
    table = source.read(spark, files, 0)
    counts = {row[0]: row[1] for row in table.frame.groupBy("split").count().collect()}
    assert (counts, table.refused.count()) == ({"train": 229, "valid": 76, "test": 77}, 0)
    first = loadmat(files["polyphonic_music/JSB_Chorales.mat"])["traindata"][0, 0]
    content, steps = table.frame.where("sample_id = 'train/0000'").select("roll", "steps").collect()[0]
    found = np.frombuffer(content, np.uint8).reshape(table.column("roll").shape)
    assert np.array_equal(found[:steps], first)

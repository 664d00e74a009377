import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from millstream.pipelines.sources.transitions import Transitions
from millstream.tracking.errors import BadData
from tests.pipelines.made import rows_of

pytestmark = pytest.mark.spark


def recorded(**changed):
    """Episode 0 comes to its end after three steps, episode 1 is cut off after two."""
    found = {
        "episode": np.array([0, 0, 0, 1, 1]),
        "step": np.array([0, 1, 2, 0, 1]),
        "observation": np.array([[0.0, 1], [2, 3], [4, 5], [6, 7], [8, 9]], np.float32),
        "action": np.array([0, 2, 1, 0, 1]),
        "reward": np.array([1.0, 2, 3, 4, 5]),
        "terminated": np.array([0, 0, 1, 0, 0]),
        "truncated": np.array([0, 0, 0, 0, 1]),
    }
    return {**found, **changed}


def read(spark, folder, form=".npz", order=None, **changed):
    arrays = recorded(**changed)
    arrays = {name: array if order is None else array[order] for name, array in arrays.items()}
    path, fields = folder / f"r{form}", {}
    if form == ".npz":
        np.savez(path, **arrays)
    else:
        frame = pd.DataFrame({name: list(array) for name, array in arrays.items()})
        if form == ".csv":
            frame[["p", "v"]] = arrays["observation"]
            frame.drop(columns="observation").to_csv(path, index=False)
            fields = {"observation": ["p", "v"]}
        else:
            frame.to_parquet(path)
    return Transitions(files=[{"name": path.name}], **fields).read(spark, {path.name: path}, 0)


def vector(content):
    return np.frombuffer(content, np.float32).tolist()


@pytest.mark.parametrize("form", [".npz", ".csv", ".parquet"])
@pytest.mark.parametrize("order", [None, [4, 0, 3, 2, 1]], ids=["in order", "shuffled"])
def test_each_step_knows_the_next(spark, tmp_path, form, order):
    table = read(spark, tmp_path, form, order)
    rows = rows_of(table, "sample_id", "observation", "action", "reward", "next_observation", "done")
    assert [
        (name, vector(now), action, reward, vector(then), done) for name, now, action, reward, then, done in rows
    ] == [
        ("r/0/00000000", [0, 1], 0, 1.0, [2, 3], 0),
        ("r/0/00000001", [2, 3], 2, 2.0, [4, 5], 0),
        ("r/0/00000002", [4, 5], 1, 3.0, [4, 5], 1),
        ("r/1/00000000", [6, 7], 0, 4.0, [8, 9], 0),
    ]
    assert [(row.sample_id, row.reason) for row in table.refused.collect()] == [
        ("r/1/00000001", "its next observation is not known")
    ]
    assert table.column("action").classes == ("0", "1", "2")
    assert [column.name for column in table.columns if column.role == "input"] == ["observation"]


def test_fractions_as_actions_are_vectors(spark, tmp_path):
    actions = np.arange(10, dtype=np.float64).reshape(5, 2) / 4
    table = read(spark, tmp_path, action=actions)
    assert vector(rows_of(table, "action")[1][0]) == [0.5, 0.75]
    assert (table.column("action").shape, table.column("action").meaning) == ((2,), "vector")


@pytest.mark.parametrize(
    ("names", "prefixes"),
    [
        (("a/r.npz", "b/r.npz"), ("a/r.npz", "b/r.npz")),
        (("r.csv", "r.npz"), ("r.csv", "r.npz")),
        (("a/r.npz", "b/s.npz"), ("r", "s")),
        (("r.csv", "r.npz", "r.csv.npz"), ("r.csv", "r.npz", "r.csv.npz")),
    ],
    ids=["folders", "endings", "names", "an ending in a name"],
)
def test_episodes_of_files_that_share_a_name_are_not_one(spark, tmp_path, names, prefixes):
    files = {}
    for at, name in enumerate(names):
        files[name] = tmp_path / name
        files[name].parent.mkdir(exist_ok=True)
        arrays = recorded(observation=np.arange(5.0) + 10 * at)
        if name.endswith(".npz"):
            np.savez(files[name], **arrays)
        else:
            pd.DataFrame(arrays).to_csv(files[name], index=False)
    table = Transitions(files=[{"name": name} for name in names]).read(spark, files, 0)
    rows = [
        (name, episode, vector(now)) for name, episode, now in rows_of(table, "sample_id", "episode", "observation")
    ]
    assert rows == sorted(
        (f"{one}/{place}", f"{one}/{place[0]}", [value + 10.0 * at])
        for at, one in enumerate(prefixes)
        for value, place in enumerate(("0/00000000", "0/00000001", "0/00000002", "1/00000000"))
    )
    assert sorted(row.sample_id for row in table.refused.collect()) == sorted(f"{one}/1/00000001" for one in prefixes)


@pytest.mark.parametrize("form", [".csv", ".parquet", ".npz"])
@pytest.mark.parametrize(
    "marks",
    [[False, False, True, False, False], [0.0, 0.0, 1.0, 0.0, 0.0], ["false", "False", "TRUE", "FALSE", "false"]],
    ids=["booleans", "numbers", "texts"],
)
def test_an_end_is_marked_by_a_boolean_a_number_or_a_text(spark, tmp_path, form, marks):
    table = read(spark, tmp_path, form, terminated=np.array(marks))
    assert rows_of(table, "done") == [(0,), (0,), (1,), (0,)]


@pytest.mark.bad_input
@pytest.mark.parametrize("form", [".csv", ".parquet", ".npz"])
@pytest.mark.parametrize(
    ("marks", "shown"),
    [(["no", "no", "yes", "no", "no"], "'no'"), ([0, 0, 2, 0, 0], "2"), ([0, 0, 0.5, 0, 0], r"0\.5")],
)
@pytest.mark.parametrize("column", ["terminated", "truncated"])
def test_a_mark_that_is_neither_true_nor_false_is_refused(spark, tmp_path, form, marks, shown, column):
    with pytest.raises(BadData, match=rf"r\{form}: {column}: {shown} is no mark.*true or false, or 1 or 0"):
        read(spark, tmp_path, form, **{column: np.array(marks)})


@pytest.mark.bad_input
def test_a_broken_step_and_the_one_before_it_are_quarantined(spark, tmp_path):
    broken = np.array([[0.0, 1], [np.nan, 3], [4, 5], [6, 7], [8, 9]])
    table = read(spark, tmp_path, observation=broken)
    assert {row.sample_id: row.reason for row in table.refused.collect()} == {
        "r/0/00000000": "its next observation is not known",
        "r/0/00000001": "its numbers are not finite",
        "r/1/00000001": "its next observation is not known",
    }
    twice = read(spark, tmp_path, step=np.array([0, 1, 1, 0, 2]))
    assert sorted((row.sample_id, row.reason) for row in twice.refused.collect()) == [
        ("r/0/00000001", "its next observation is not known"),
        ("r/0/00000001", "its step comes twice"),
        ("r/1/00000000", "its next observation is not known"),
        ("r/1/00000002", "its next observation is not known"),
    ]


@pytest.mark.security
def test_objects_in_a_file_are_not_unpickled(spark, tmp_path):
    with pytest.raises(BadData, match="objects are not unpickled"):
        read(spark, tmp_path, observation=np.array([{"a": 1}] * 5, dtype=object))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"reward": np.array(["a"] * 5)}, "a value is of another type"),
        ({"step": np.array([0, np.nan, 2, 0, 1])}, "step: 1 values are missing"),
        ({"terminated": np.array([0, np.nan, 2, 0, 1])}, "terminated: 1 values are missing"),
        ({"reward": np.zeros(4)}, "columns of different lengths"),
        ({"reward": np.full(5, np.inf)}, "no whole step of 5"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(spark, tmp_path, changed, message):
    with pytest.raises(BadData, match=message):
        read(spark, tmp_path, **changed)


@pytest.mark.bad_input
def test_a_file_without_its_columns_or_of_another_kind_is_refused(spark, tmp_path):
    np.savez(tmp_path / "r.npz", episode=np.zeros(2))
    with pytest.raises(BadData, match=r"no columns \['step', 'reward'"):
        Transitions(files=[{"name": "r.npz"}]).read(spark, {"r.npz": tmp_path / "r.npz"}, 0)
    (tmp_path / "r.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(BadData, match=r"cannot be read as \.npz"):
        Transitions(files=[{"name": "r.npz"}]).read(spark, {"r.npz": tmp_path / "r.npz"}, 0)
    with pytest.raises(ValidationError, match="name"):
        Transitions(files=[{"name": "r.pickle"}])

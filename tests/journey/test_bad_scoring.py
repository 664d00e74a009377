"""What comes to a model: read by name, or refused with the column; nothing is left behind then."""

from __future__ import annotations

import random
import threading

import pandas as pd
import pytest

from pipelines.score import score
from tests.journey.test_scoring import trained
from tracking.faults import BadData, BadEnvironment
from tracking.settings import Settings

pytestmark = pytest.mark.spark
TREE = """
about: Who leaves, by a small tree
data:
  name: leavers
  source:
    name: table
    files: [{name: leavers.csv}]
    columns: {spent: {type: double}, visits: {type: long}, town: {type: string}, left: {type: string, role: target}}
  steps:
    - split: {by: hash, test: 0.2}
    - encode: {columns: categories}
task: {name: classify, target: left}
network: {name: classical/tree, depth: 3}
fit: {seed: 1}
"""
ROWS = [(0.5, 3, "Graz"), (-1.5, 8, "Wien"), (2.5, 1, "Oslo")]


@pytest.fixture(scope="module")
def model(spark, tmp_path_factory):
    folder, draw = tmp_path_factory.mktemp("model"), random.Random(0)
    rows = [(draw.gauss(0, 1), draw.randint(0, 9), draw.choice(["Graz", "Wien"])) for _ in range(200)]
    table = pd.DataFrame(rows, columns=["spent", "visits", "town"])
    table.assign(left=["yes" if spent < 0 else "no" for spent in table.spent]).to_csv(
        folder / "leavers.csv", index=False
    )
    (folder / "leavers.yaml").write_text(TREE.replace("leavers.csv", str(folder / "leavers.csv")))
    settings = Settings.read({"MILLSTREAM_HOME": str(folder / "home")})
    found, _ = trained(settings, folder / "leavers.yaml")
    return found.model_uri, settings


def scored(model, folder, content, name="new.csv"):
    uri, settings = model
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    score(uri, str(folder / name), str(folder / "scored"), settings)
    return pd.read_parquet(folder / "scored")


def test_columns_are_found_by_name_in_any_order_and_others_are_kept(model, tmp_path):
    lines = "".join(f'{town},"say ""{at}""",{spent},{visits}\n' for at, (spent, visits, town) in enumerate(ROWS))
    found = scored(model, tmp_path, "town,note,spent,visits\n" + lines).sort_values("spent", ignore_index=True)
    assert found["prediction"].tolist() == ["yes", "no", "no"]
    assert found["note"].tolist() == ['say "1"', 'say "0"', 'say "2"']
    (tmp_path / "lines").mkdir()
    over_lines = scored(model, tmp_path / "lines", "town,note,spent,visits\n" + lines.replace("say ", "say,\n\n"))
    assert over_lines.sort_values("spent")["note"].tolist() == ['say,\n\n"1"', 'say,\n\n"0"', 'say,\n\n"2"']
    assert sorted(over_lines["prediction"]) == sorted(found["prediction"])


def test_an_empty_table_has_no_predictions(model, tmp_path):
    found = scored(model, tmp_path, "spent,visits,town\n")
    assert (len(found), "prediction" in found) == (0, True)


NO_INPUT = {
    "a column is missing": ("spent,town\n1,Graz\n", {}, r"no columns \['visits'\]; the model takes"),
    "all columns are missing": ("a;b\n1;2\n", {}, r"no columns \['spent', 'visits', 'town'\]"),
    "a text for a number": ("spent,visits,town\nmuch,1,Graz\n2,3,Wien\n", {}, r"new\.csv: .*spent"),
    "a fraction for a whole number": ("spent,visits,town\n1,1.5,Graz\n", {}, r"new\.csv: .*visits"),
    "a missing number": ("spent,visits,town\n1,,Graz\n2,3,Wien\n", {}, r"new\.csv: .*visits"),
    "a column of the model's own": ("spent,visits,town,prediction\n1,1,Graz,no\n", {}, r"has columns \['prediction'\]"),
    "a ragged row": ("spent,visits,town\n1,1,Graz\n1\n", {}, r"new\.csv: "),
    "an empty file": ("", {}, r"new\.csv: "),
    "a file of another kind": (b"\x80\x04K*.", {"name": "new.pkl"}, r"new\.pkl: cannot be read as a table"),
    "no parquet": (b"PAR1", {"name": "new.parquet"}, r"new\.parquet: cannot be read as a table"),
}


@pytest.mark.bad_input
@pytest.mark.parametrize("case", NO_INPUT)
def test_an_input_that_does_not_fit_is_refused_and_leaves_nothing(model, tmp_path, case):
    content, options, told = NO_INPUT[case]
    with pytest.raises(BadData, match=told):
        scored(model, tmp_path, content, **options)
    assert [path.name for path in tmp_path.iterdir()] == [options.get("name", "new.csv")]


@pytest.mark.bad_input
def test_an_input_that_is_not_there_is_told(model, tmp_path):
    uri, settings = model
    with pytest.raises(BadData, match=r"none\.parquet: cannot be read as a table"):
        score(uri, str(tmp_path / "none.parquet"), str(tmp_path / "scored"), settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault
def test_a_cluster_that_is_gone_while_the_table_is_read_is_told_as_such(spark, model, tmp_path):
    # as the watch over the workers does it when none is left
    is_over = threading.Event()

    def give_up() -> None:
        while not is_over.wait(0.01):
            spark.sparkContext.cancelAllJobs()

    watch = threading.Thread(target=give_up)
    watch.start()
    try:
        with pytest.raises(BadEnvironment, match="no worker has been there"):
            scored(model, tmp_path, "spent,visits,town\n" + "1,1,Graz\n" * 100)
    finally:
        is_over.set()
        watch.join()
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]

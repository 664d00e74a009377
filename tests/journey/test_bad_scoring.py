"""What comes to a model: read by name, or refused with the column; nothing is left behind then."""

from __future__ import annotations

import datetime
import gzip
import json
import random
import signal
import threading
import urllib.error
import urllib.request
from decimal import Decimal

import mlflow
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millstream.pipelines.score import score
from millstream.tracking.errors import BadData, BadEnvironment
from millstream.tracking.settings import Settings
from tests.journey.command import started
from tests.journey.test_scoring import trained
from tests.runtimes import check_runtimes

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
    score(uri, str(folder / name), str(folder / "scored"), settings, master="local[2]")
    found = pq.read_table(folder / "scored")
    score(uri, str(folder / name), str(folder / "small"), settings)  # without Spark, where that reads it
    small = pq.read_table(folder / "small")
    assert small.schema.remove_metadata() == found.schema.remove_metadata()
    assert small.to_pylist() == found.to_pylist()
    return found.to_pandas()


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


FAR = datetime.datetime(9999, 12, 31, 23, 59, 59)
PASSED = {
    "id": pa.array([1234567890123456789, None, -(2**63)], pa.int64()),
    "items": pa.array([[2**63 - 1, None], None, []], pa.list_(pa.int64())),
    "facts": pa.array([{"a": 2**62 + 1}, None, {"a": None}]),
    "counts": pa.array([[("a", 2**62 + 1)], None, []], pa.map_(pa.string(), pa.int64())),
    "price": pa.array([Decimal("12345678901234567890.12"), None, Decimal("0.10")], pa.decimal128(38, 2)),
    "day": pa.array([datetime.date(1, 1, 1), None, datetime.date(9999, 12, 31)]),
    "till": pa.array([FAR, None, datetime.datetime(1, 1, 1)], pa.timestamp("us")),
    "at": pa.array([FAR, None, datetime.datetime(1850, 1, 1)], pa.timestamp("us", "UTC")),
    "hash": pa.array([b"\xff\x00", None, b""]),
    "small": pa.array([1, None, 3], pa.int8()),
    "sample_id": pa.array([None, "a.b`", "c"]),
    "odd. `name": pa.array([None, float("nan"), 0.1], pa.float32()),
}


def inputs():
    spent, visits, town = zip(*ROWS, strict=True)
    return {"spent": pa.array(spent), "visits": pa.array(visits, pa.int64()), "town": pa.array(town)}


def test_columns_that_the_model_does_not_need_are_not_changed(model, tmp_path):
    uri, settings = model
    pq.write_table(pa.table({**PASSED, **inputs()}), tmp_path / "new.parquet")
    score(uri, str(tmp_path / "new.parquet"), str(tmp_path / "scored"), settings)
    found = pq.read_table(tmp_path / "scored").sort_by("spent")
    expected = pa.table({**PASSED, **inputs()}).sort_by("spent")
    for name in (*PASSED, *inputs()):
        assert str(found[name].to_pylist()) == str(expected[name].to_pylist()), name
    assert found["prediction"].to_pylist() == ["yes", "no", "no"]


@pytest.mark.bad_input
def test_a_damaged_page_is_refused_with_its_file_and_column(model, tmp_path):
    uri, settings = model
    many = {name: pa.chunked_array([values] * 500) for name, values in inputs().items()}
    for column, name in (("spent", "spent"), ("note", "note")):
        path = tmp_path / f"{name}.parquet"
        table = pa.table({**many, "note": [f"note {at}" for at in range(1500)]})
        pq.write_table(table, path, use_dictionary=False)
        group = pq.ParquetFile(path).metadata.row_group(0)
        page = next(group.column(at) for at in range(4) if group.column(at).path_in_schema == column).data_page_offset
        content = bytearray(path.read_bytes())
        content[page : page + 40] = bytes(40)
        path.write_bytes(content)
        with pytest.raises(BadData, match=rf"{name}\.parquet: column '{column}' is damaged"):
            score(uri, str(path), str(tmp_path / "scored"), settings)
    assert not (tmp_path / "scored").exists()


@pytest.mark.bad_input
def test_a_packed_file_that_was_cut_off_is_refused(model, tmp_path):
    uri, settings = model
    rows = "".join(f"{at}.5,{at % 9},Graz\n" for at in range(200_000))
    packed = gzip.compress(("spent,visits,town\n" + rows).encode(), 1)
    (tmp_path / "cut.csv.gz").write_bytes(packed[: len(packed) * 3 // 4])  # far behind what is read of a header
    with pytest.raises(BadData, match=r"cut\.csv\.gz: cannot be read to its end"):
        score(uri, str(tmp_path / "cut.csv.gz"), str(tmp_path / "scored"), settings)


def test_the_example_of_a_model_passes_its_own_signature(model):
    uri, settings = model
    mlflow.set_tracking_uri(settings.tracking_uri)
    loaded = mlflow.pyfunc.load_model(uri)
    example = loaded.input_example
    assert len(example) == 2
    for rows in (example, pd.DataFrame(example)):
        assert set(loaded.predict(rows)["prediction"]) <= {"yes", "no"}
    assert loaded.metadata.signature.inputs.required_input_names() == ["spent", "visits", "town"]


NO_INPUT = {
    "a column is missing": ("spent,town\n1,Graz\n", {}, r"no columns \['visits'\]; the model takes"),
    "all columns are missing": ("a;b\n1;2\n", {}, r"no columns \['spent', 'visits', 'town'\]"),
    "a text for a number": ("spent,visits,town\nmuch,1,Graz\n2,3,Wien\n", {}, r"new\.csv: .*spent"),
    "a fraction for a whole number": ("spent,visits,town\n1,1.5,Graz\n", {}, r"new\.csv: .*visits"),
    "a missing number": ("spent,visits,town\n1,,Graz\n2,3,Wien\n", {}, r"new\.csv: .*visits"),
    "a column of the model's own": ("spent,visits,town,prediction\n1,1,Graz,no\n", {}, r"has columns \['prediction'\]"),
    "a ragged row": ("spent,visits,town\n1,1,Graz\n1\n", {}, r"new\.csv: "),
    "an empty file": ("", {}, r"new\.csv: "),
    "a file of another kind": (b"\x80\x04K*.", {"name": "new.pkl"}, r"new\.pkl:1: not UTF-8"),
    "no parquet": (b"PAR1", {"name": "new.parquet"}, r"new\.parquet: cannot be read as Parquet"),
}


@pytest.mark.bad_input
@pytest.mark.parametrize("case", NO_INPUT)
def test_an_input_that_does_not_fit_is_refused_and_leaves_nothing(model, tmp_path, case):
    content, options, message = NO_INPUT[case]
    with pytest.raises(BadData, match=message):
        scored(model, tmp_path, content, **options)
    assert [path.name for path in tmp_path.iterdir()] == [options.get("name", "new.csv")]


@pytest.mark.bad_input
def test_a_missing_input_is_refused(model, tmp_path):
    uri, settings = model
    with pytest.raises(BadData, match=r"none\.parquet: cannot be read as a table"):
        score(uri, str(tmp_path / "none.parquet"), str(tmp_path / "scored"), settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault
def test_a_cluster_that_is_gone_while_the_table_is_read_is_reported_as_such(spark, model, tmp_path):
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


def test_four_runtimes_of_trees_have_one_set_of_numbers(model, tmp_path):
    raw = pd.DataFrame(ROWS * 5, columns=["spent", "visits", "town"])
    assert check_runtimes(*model, raw, tmp_path) == ["probabilities"]


def test_a_served_model_ends_with_ctrl_c_and_shows_no_token(model, tmp_path):
    uri, settings = model
    (tmp_path / "token").write_text("secret-0123\n")
    words = ("serve", uri, "--port", "0", "--token-file", str(tmp_path / "token"))
    server = started(settings.home, *words)
    url = json.loads(server.stdout.readline())["url"]
    body = json.dumps({"rows": [{"spent": 0.5, "visits": 3, "town": "Graz"}, {"spent": 1, "visits": 3}]}).encode()
    headers = {"Content-Type": "application/json", "Authorization": "Bearer secret-0123"}
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(f"{url}/predict", body, headers))
    assert refused.value.code == 422
    assert json.load(refused.value)["values"] == [
        {"row": 1, "column": "town", "value": "missing", "expected": "a text"}
    ]
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(60)
    assert (server.returncode, json.loads(out)) == (130, {"error": "stopped", "exit": 130})
    assert err.strip().splitlines()[-1] == "stopped"
    assert "secret" not in out + err

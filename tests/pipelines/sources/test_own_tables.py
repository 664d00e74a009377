"""Tables as people have them: money, dates of several formats, several texts of a missing value, no key."""

import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from millstream.pipelines import prepare
from millstream.pipelines.sources.table import Table
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.recipe.loader import load
from millstream.tracking.serving import replay
from tests.pipelines.made import rows_of

DRAW = random.Random(0)
VALUES = [round(DRAW.uniform(-3e6, 3e6), 2) for _ in range(40)]
TIMES = [datetime(2019, 1, 1, tzinfo=UTC) + timedelta(days=DRAW.randrange(900)) for _ in VALUES]
FORMS = ("%Y-%m-%d", "%d.%m.%Y", "%b %d, %Y")


def read(spark, path, **fields):
    return Table(files=[{"name": path.name}], **fields).read(spark, {path.name: path}, 0)


@pytest.mark.spark
def test_money_and_dates_are_read_as_they_were_written(spark, tmp_path):
    """Python writes the values, Spark reads them: rows that are no such value are quarantined."""
    lines = ["dollars;units;day"]
    for at, (value, time) in enumerate(zip(VALUES, TIMES, strict=True)):
        dollars = f"{'-' if value < 0 else ''}${abs(value):,.2f}" if at % 2 else f"{value:.2f}"
        lines.append(f"{dollars};{abs(int(value)):,} km".replace(",", " ") + f";{time.strftime(FORMS[at % 3])}")
    lines = [line.replace("$", "$", 1) for line in lines]
    for odd in ("$1 23;5;2020-01-01", "$1.0;5 miles;2020-01-01", "$1.0;5;01/02/2020", "--$1;5;2020-01-01"):
        lines.append(odd)
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    columns = {
        "dollars": {"type": "double", "number": {"prefix": "$", "thousands": " "}},
        "units": {"type": "long", "number": {"suffix": "km", "thousands": " "}},
        "day": {"type": "timestamp", "form": ["", "d.M.yyyy", "MMM d, yyyy"]},
    }
    table = read(spark, tmp_path / "a.csv", columns=columns, delimiter=";")
    found = table.frame.selectExpr("dollars", "units", "unix_seconds(day) day").collect()
    expected = [(value, abs(int(value)), time.timestamp()) for value, time in zip(VALUES, TIMES, strict=True)]
    assert sorted(map(tuple, found)) == sorted(expected)
    assert table.refused.count() == 4


@pytest.mark.spark
def test_several_texts_are_missing_values_and_empty_columns_of_the_header_are_ignored(spark, tmp_path):
    (tmp_path / "a.csv").write_text("x,town,,\n1.5,NA,,\nn/a,Graz,,\n,,,\n-,b,,\n")
    columns = {"x": {"type": "double", "nullable": True}, "town": {"type": "string", "nullable": True}}
    table = read(spark, tmp_path / "a.csv", columns=columns, null=["", "NA", "n/a"])
    assert rows_of(table, "x", "town") == [(1.5, None), (None, "Graz"), (None, None)]
    assert table.refused.count() == 1


@pytest.mark.spark
def test_rows_of_parquet_without_a_key_are_named_by_their_place(spark, tmp_path):
    pq.write_table(pa.table({"x": np.arange(7) / 2}), tmp_path / "a.parquet", row_group_size=2)
    table = read(spark, tmp_path / "a.parquet", columns={"x": {"type": "double"}}, format="parquet")
    assert rows_of(table, "sample_id", "x") == [(f"a.parquet:{at + 1}", at / 2) for at in range(7)]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": {"type": "string", "number": {"prefix": "$"}}}, "number: of type double or long"),
        ({"x": {"type": "double", "number": {"thousands": "."}}}, "separated by the decimal mark"),
        ({"x": {"type": "double", "number": {"prefix": "1"}}}, "has a digit"),
    ],
)
def test_a_number_that_cannot_be_meant_is_refused(columns, message):
    with pytest.raises(ValidationError, match=message):
        Table(files=[{"name": "a.csv"}], columns=columns)


def test_new_fields_leave_the_versions_of_other_datasets_as_they_were():
    dumped = Table(files=[{"name": "a.csv"}], columns={"x": {"type": "double"}}).model_dump(mode="json")
    known = {"type", "role", "nullable", "strip", "classes", "form", "unit"}
    assert dumped["columns"]["x"].keys() == known


RECIPE = """
about: Days since a birthday that some do not name
data:
  name: ages
  source:
    name: table
    files: [{name: ages.csv}]
    columns:
      born: {type: timestamp, form: d.M.yyyy, nullable: true}
      x: {type: double}
      y: {type: double, role: target}
  steps:
    - features: {add: {year: {expression: year(born), type: long, nullable: true}}}
    - split: {by: hash, test: 0.2}
    - impute: {columns: [year], method: median, indicator: true}
"""


@pytest.mark.spark
def test_a_derived_column_may_be_null_until_it_is_imputed_in_a_served_row_too(spark, settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{'' if at % 4 == 0 else f'1.2.{1950 + at}'},{at / 2},{at}" for at in range(40)]
    (tmp_path / "ages.csv").write_text("\n".join(["born,x,y", *rows]) + "\n")
    (tmp_path / "ages.yaml").write_text(RECIPE)
    prepared = prepare.prepare(load("ages.yaml"), settings, say=lambda line: None)
    dataset = Dataset.open(prepared.path, settings.store)
    stored = pq.read_table(dataset.verified(dataset.shards("train")[0])).to_pandas().sort_values("x")
    at = (stored["x"] * 2).astype(int)
    is_missing = (at % 4 == 0).to_numpy()
    assert (stored["year_missing"] == is_missing).all()
    assert (stored["year"][~is_missing] == 1950 + at[~is_missing]).all()
    assert stored["year"][is_missing].nunique() == 1

    born = pd.to_datetime([None if one % 4 == 0 else f"{1950 + one}-02-01" for one in at])
    served = replay.replay(pd.DataFrame({"born": born, "x": stored["x"].to_numpy()}), dataset.manifest)
    assert np.array_equal(served["year"], stored["year"])
    assert np.array_equal(served["year_missing"], stored["year_missing"])
    alone = replay.replay(pd.DataFrame({"x": [1.0]}), dataset.manifest)
    assert (alone["year"][0], alone["year_missing"][0]) == (stored["year"][is_missing].iloc[0], 1)

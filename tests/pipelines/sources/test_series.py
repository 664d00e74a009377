import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from millstream.pipelines.readers import origin_files
from millstream.pipelines.sources.series import Series
from millstream.tracking.errors import BadData
from tests.pipelines.made import rows_of

pytestmark = pytest.mark.spark


def source(**fields):
    columns = {"load": {}, "heat": {"role": "target", "unit": "degrees C"}}
    return Series(**{"files": [{"name": "s.csv"}], "time": "when", "frequency": "1h", "columns": columns, **fields})


def read(spark, folder, *rows, header="when,load,heat", **fields):
    path = folder / "s.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return source(**fields).read(spark, {"s.csv": path}, 0)


def refused(table):
    return [(row.sample_id, row.reason) for row in table.refused.orderBy("sample_id").collect()]


def test_each_step_is_a_row_named_by_its_time(spark, tmp_path):
    table = read(spark, tmp_path, "2016-07-01 00:00:00,1,10", "2016-07-01T01:00:00,2,20")
    assert rows_of(table, "sample_id", "time", "entity", "load", "heat") == [
        ("main/2016-07-01T00:00:00", "2016-07-01T00:00:00", "main", 1.0, 10.0),
        ("main/2016-07-01T01:00:00", "2016-07-01T01:00:00", "main", 2.0, 20.0),
    ]
    assert [(one.name, one.role, one.unit) for one in table.columns] == [
        ("time", "key", ""),
        ("entity", "key", ""),
        ("load", "input", ""),
        ("heat", "target", "degrees C"),
    ]


def test_entities_are_series_of_their_own_in_any_order(spark, tmp_path):
    rows = ["b,2020-01-01 02:00,4,0", "a,2020-01-01 00:00,1,0", "b,2020-01-01 01:00,3,0", "a,2020-01-01 01:00,2,0"]
    table = read(spark, tmp_path, *rows, header="city,when,load,heat", entity="city")
    assert rows_of(table, "sample_id", "entity", "load") == [
        ("a/2020-01-01T00:00:00", "a", 1.0),
        ("a/2020-01-01T01:00:00", "a", 2.0),
        ("b/2020-01-01T01:00:00", "b", 3.0),
        ("b/2020-01-01T02:00:00", "b", 4.0),
    ]


@pytest.mark.bad_input
def test_a_time_that_comes_twice_or_cannot_be_read_is_quarantined(spark, tmp_path):
    rows = [f"2020-01-01 0{hour}:00,{hour},0" for hour in range(9)]
    table = read(spark, tmp_path, *rows, "2020-01-01 03:00,99,0", "soon,5,0", ",5,0", "2020-01-01 04:00,,0")
    assert [load for (load,) in rows_of(table, "load")] == list(range(9))
    assert refused(table) == [
        ("s.csv:11", "its time comes twice"),
        ("s.csv:12", "its time cannot be read"),
        ("s.csv:13", "when is missing"),
        ("s.csv:14", "load is missing"),
    ]


GAP = ("2020-01-01 00:00,1,5", "2020-01-01 01:00,2,6", "2020-01-01 04:00,3,7")


@pytest.mark.bad_input
def test_a_gap_is_refused_with_its_place(spark, tmp_path):
    with pytest.raises(BadData, match=r"main, 2020-01-01 04:00: a gap: 3h after the row before \(1 such gaps in all\)"):
        read(spark, tmp_path, *GAP)


@pytest.mark.bad_input
def test_a_time_that_is_far_away_is_not_filled_up_to(spark, tmp_path):
    with pytest.raises(BadData, match=r"9999-01-01 00:00: a gap: .* after the row before .* is the time right"):
        read(spark, tmp_path, *GAP, "9999-01-01 00:00,1,1", gaps="fill-forward")


def test_a_gap_is_filled_or_marked_as_configured(spark, tmp_path):
    filled = read(spark, tmp_path, *GAP, gaps="fill-forward")
    assert rows_of(filled, "time", "load", "heat") == [
        ("2020-01-01T00:00:00", 1.0, 5.0),
        ("2020-01-01T01:00:00", 2.0, 6.0),
        ("2020-01-01T02:00:00", 2.0, 6.0),
        ("2020-01-01T03:00:00", 2.0, 6.0),
        ("2020-01-01T04:00:00", 3.0, 7.0),
    ]
    marked = read(spark, tmp_path, *GAP, gaps="mark")
    assert rows_of(marked, "load", "observed") == [(1.0, 1), (2.0, 1), (2.0, 0), (2.0, 0), (3.0, 1)]
    assert marked.column("observed").role == "mask"


@pytest.mark.bad_input
@pytest.mark.parametrize("gaps", ["refuse", "fill-forward"])
def test_another_frequency_is_refused_with_the_one_that_is_there(spark, tmp_path, gaps):
    rows = [f"2020-01-01 0{at // 4}:{at % 4 * 15:02d},{at},0" for at in range(9)]
    with pytest.raises(BadData, match=r"00:15: 15min after the row before; frequency is 1h, most rows are 15min"):
        read(spark, tmp_path, *rows, gaps=gaps)


@pytest.mark.bad_input
def test_a_series_shorter_than_a_window_is_quarantined(spark, tmp_path):
    rows = ["a,2020-01-01 00:00,1,0", *(f"b,2020-01-01 0{hour}:00,{hour},0" for hour in range(4))]
    fields = {"header": "city,when,load,heat", "entity": "city"}
    table = read(spark, tmp_path, *rows, window=3, **fields)
    assert {entity for (entity,) in rows_of(table, "entity")} == {"b"}
    assert refused(table) == [("s.csv:2", "its series is shorter than 3 steps")]
    with pytest.raises(BadData, match="no series has 5 steps, the longest 4"):
        read(spark, tmp_path, *rows, window=5, **fields)


def test_a_series_is_read_from_parquet(spark, tmp_path):
    times = pd.date_range("2020-01-01", periods=3, freq="D").astype("datetime64[us]")
    pd.DataFrame({"when": times, "load": [1, 2, 3], "heat": 0.5}).to_parquet(tmp_path / "s.parquet")
    made = source(files=[{"name": "s.parquet"}], format="parquet", frequency="1d")
    table = made.read(spark, {"s.parquet": tmp_path / "s.parquet"}, 0)
    assert rows_of(table, "time", "load") == [(f"2020-01-0{day}T00:00:00", float(day)) for day in (1, 2, 3)]


def test_times_may_have_a_format_and_parts_of_a_second(spark, tmp_path):
    rows = [f"01.02.2020 00:00:00.{at * 250:03d},{at},0" for at in range(4)]
    table = read(spark, tmp_path, *rows, time_format="dd.MM.yyyy HH:mm:ss.SSS", frequency="250ms")
    assert [time for (time,) in rows_of(table, "time")][1] == "2020-02-01T00:00:00.250000"


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"frequency": "hourly"}, "frequency"),
        ({"frequency": "0h"}, "is no step"),
        ({"columns": {"when": {}}}, "'when' is taken"),
        ({"columns": {"entity": {}}}, "'entity' is taken"),
    ],
)
def test_a_wrong_setting_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        source(**fields)


@given(count=st.integers(1, 1000), unit=st.sampled_from(["ms", "s", "min", "h", "d", "w"]))
def test_a_step_is_as_long_as_pandas_has_it(count, unit):
    assert source(frequency=f"{count}{unit}").step_us == pd.Timedelta(count, unit).value // 1000


@pytest.mark.mirror
def test_the_transformer_data_are_read_whole(spark, settings):
    names = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
    made = Series(
        files=[{"name": "ett/ETTh1.csv"}], time="date", frequency="1h", columns={name: {} for name in names}, window=432
    )
    files = {file.name: path for file, path in origin_files.locate_all(made, settings).items()}
    table = made.read(spark, files, 0)
    found = table.frame.orderBy("time").select("time", *names).toPandas()
    expected = pd.read_csv(files["ett/ETTh1.csv"], float_precision="round_trip")
    assert (len(found), table.refused.count()) == (17420, 0)
    assert np.array_equal(found[list(names)], expected[list(names)])
    assert list(found.time) == list(expected.date.str.replace(" ", "T"))

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from millstream.pipelines.steps.rolling import Rolling, sums
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from tests.pipelines.made import CITY, rows_of, table

TIME = Column(name="time", dtype="datetime64[us]", role="key", meaning="number")
PAID = Column(name="paid", dtype="float64", role="input", meaning="number")
FRAUD = Column(name="fraud", dtype="int64", role="target", meaning="number")
FIELDS = {"entity": "city", "time": "time", "days": (1, 7), "count": "n{days}", "mean": "m{days}"}


def made(count=300, seed=0):
    drawn = np.random.default_rng(seed)
    seconds = np.sort(drawn.integers(0, 40 * 86_400, count))
    return pd.DataFrame(
        {
            "sample_id": [str(at) for at in range(count)],
            "city": drawn.choice(["Graz", "Bonn", "Oslo"], count),
            "time": pd.to_datetime("2020-01-01") + pd.to_timedelta(seconds, unit="s"),
            "paid": drawn.exponential(10, count).round(2),
            "fraud": drawn.integers(0, 2, count),
        }
    )


def rolled(step, rows):
    return step.rolled(pa.Table.from_pandas(rows, preserve_index=False)).to_pandas()


def past(rows, row, days, delay):
    """The handbook's definition, a row at a time."""
    now, day = row.time, pd.Timedelta(days=1)
    seen = rows[(rows.city == row.city) & (rows.time > now - (delay + days) * day) & (rows.time <= now - delay * day)]
    if delay == 0:
        seen = seen[(seen.time < now) | (seen.sample_id.astype(int) <= int(row.sample_id))]
    return seen


@pytest.mark.parametrize(("value", "delay"), [("paid", 0), ("paid", 2.5), ("fraud", 7)])
def test_windows_are_those_of_the_definition(value, delay):
    rows = made()
    found = rolled(Rolling(**FIELDS, value=value, delay=delay), rows).set_index("sample_id")
    for row in rows.itertuples():
        for days in (1, 7):
            seen = past(rows, row, days, delay)
            assert found.loc[row.sample_id, f"n{days}"] == len(seen)
            assert found.loc[row.sample_id, f"m{days}"] == pytest.approx(
                seen[value].mean() if len(seen) else 0, abs=1e-12
            )


def test_windows_without_a_delay_are_those_of_pandas():
    rows = made()
    found = rolled(Rolling(**FIELDS, value="paid"), rows).set_index("sample_id")
    for _, one in rows.groupby("city"):
        for days in (1, 7):
            peer = one.set_index("time")["paid"].rolling(f"{days}D")
            np.testing.assert_array_equal(found.loc[one.sample_id, f"n{days}"], peer.count())
            np.testing.assert_allclose(found.loc[one.sample_id, f"m{days}"], peer.mean(), rtol=1e-9)


def test_of_rows_at_one_time_each_sees_those_with_smaller_ids():
    rows = made(4).assign(city="Graz", time=pd.Timestamp("2020-01-01"), sample_id=["10", "9", "100", "11"])
    found = rolled(Rolling(**FIELDS, value="paid"), rows).set_index("sample_id")
    assert found["n1"].to_dict() == {"9": 1, "10": 2, "11": 3, "100": 4}


@pytest.mark.spark
def test_columns_do_not_depend_on_partitions_nor_order(spark):
    rows = made()
    step = Rolling(**FIELDS, value="paid")
    one = step.apply(table(spark, rows, CITY, TIME, PAID, FRAUD, partitions=1), {}, 1)
    many = step.apply(table(spark, rows.sample(frac=1, random_state=1), CITY, TIME, PAID, FRAUD, partitions=7), {}, 1)
    names = ("sample_id", "n1", "m1", "n7", "m7")
    assert rows_of(one, *names) == rows_of(many, *names)
    assert [column.name for column in one.columns[-4:]] == ["n1", "m1", "n7", "m7"]
    again = rolled(step, rows).sort_values("sample_id")
    assert [row[2] for row in rows_of(one, *names)] == again["m1"].tolist()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.data())
def test_a_sum_is_that_of_its_own_values(values, data):
    bounds = st.integers(0, len(values))
    first, last = (np.array(data.draw(st.lists(bounds, min_size=5, max_size=5))) for _ in range(2))
    found = sums(np.array(values), first, last)
    assert found == pytest.approx([sum(values[one:other]) for one, other in zip(first, last, strict=True)], abs=1e-6)


@pytest.mark.spark
@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": "payed"}, r"\['payed'\]: no such columns"),
        ({"time": "paid"}, "declare it as type: timestamp"),
        ({"value": "city"}, "no number"),
    ],
)
def test_windows_that_do_not_fit_are_refused(spark, change, message):
    rows = table(spark, made(5), CITY, TIME, PAID, FRAUD)
    with pytest.raises(BadData, match=message):
        Rolling(**{**FIELDS, "value": "paid", **change}).apply(rows, {}, 1)


@pytest.mark.spark
@pytest.mark.bad_input
def test_rows_without_an_entity_a_time_or_a_value_are_reported_when_they_are_counted(spark):
    rows = made(6)
    rows.loc[0, "city"], rows.loc[1, "time"], rows.loc[2, "paid"] = None, None, None
    step = Rolling(**FIELDS, value="paid")
    with pytest.raises(BadData, match="3 rows miss one of"):
        step.apply(table(spark, rows, CITY, TIME, PAID, FRAUD), {}, 1).counted()


@pytest.mark.bad_input
def test_names_and_windows_have_to_differ():
    for change in ({"count": "n"}, {"mean": "m"}, {"days": (1, 1)}, {"days": (0,)}):
        with pytest.raises(ValidationError):
            Rolling(**{**FIELDS, "value": "paid", **change})


SAME_SECOND = [1240489, 1240490]
"""Two payments of one card in one second, which the published file has the other way round (see decision 009)."""


@pytest.mark.mirror
@pytest.mark.parametrize(
    ("entity", "value", "mean", "delay"),
    [
        ("CUSTOMER_ID", "TX_AMOUNT", "AVG_AMOUNT", 0),
        ("TERMINAL_ID", "TX_FRAUD", "RISK", 7),
    ],
)
def test_features_of_card_fraud_are_those_that_the_handbook_published(settings, entity, value, mean, delay):
    folder = settings.mirror / "fraud_simulated"
    wanted = ["TRANSACTION_ID", "TX_DATETIME", entity, value]
    raw = pd.concat([pd.read_parquet(file, columns=wanted) for file in sorted((folder / "raw").glob("*.parquet"))])
    assert len(raw) == 1_754_155
    names = {"count": f"{entity}_NB_TX_{{days}}DAY_WINDOW", "mean": f"{entity}_{mean}_{{days}}DAY_WINDOW"}
    step = Rolling(entity=entity, time="TX_DATETIME", value=value, days=(1, 7, 30), delay=delay, **names)
    made = rolled(step, raw.assign(sample_id=raw["TRANSACTION_ID"].astype(str))).set_index("TRANSACTION_ID")
    published = pd.read_parquet(folder / "transformed_2018-07-25_2018-08-14.parquet").set_index("TRANSACTION_ID")
    published = published.drop(index=SAME_SECOND)
    assert len(published) == 201_293
    for days in (1, 7, 30):
        for name in names.values():
            column = name.replace("{days}", str(days))
            np.testing.assert_allclose(made.loc[published.index, column], published[column], rtol=0, atol=1e-6)


@pytest.mark.spark
@pytest.mark.bad_input
def test_a_window_does_not_write_over_a_column(spark):
    there = PAID.model_copy(update={"name": "N1"})
    rows = table(spark, made(20).assign(N1=1.0).to_dict("records"), CITY, TIME, PAID, there)
    with pytest.raises(BadData, match="there is a column 'N1' already"):
        Rolling(**FIELDS, value="paid").apply(rows, {}, 0)

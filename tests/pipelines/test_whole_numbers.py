"""Whole numbers of 64 bits, some of them missing, are the same after every step: as keys, as categories, in lists."""

import datetime
import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, LongType, StringType, StructField, StructType

from millstream.pipelines.execute_steps import Flow
from millstream.pipelines.spark import arrow_pandas
from millstream.pipelines.spark.frames import groups_in_pandas, in_pandas, schema_of
from millstream.pipelines.steps.augment import Augment
from millstream.pipelines.steps.deduplicate import Deduplicate
from millstream.pipelines.steps.encode import Encode
from millstream.pipelines.steps.features import Features
from millstream.pipelines.steps.filter import Filter
from millstream.pipelines.steps.impute import Impute
from millstream.pipelines.steps.mixup import Mixup
from millstream.pipelines.steps.rebalance import Rebalance
from millstream.pipelines.steps.rolling import Rolling
from millstream.pipelines.steps.scale import Scale
from millstream.pipelines.steps.split import Split
from millstream.pipelines.steps.tokenize import Tokenize
from millstream.pipelines.steps.validate import Validate
from millstream.pipelines.steps.window import Window
from millstream.pipelines.table import Table
from millstream.tracking.dataset.records import Column

pytestmark = [pytest.mark.spark, pytest.mark.timeout(5000)]  # in full numbers more than the ten minutes of others

ROWS = 24
WIND = Column(name="wind", dtype="float64", role="input", meaning="number")
ACCT = Column(name="acct", dtype="int64", role="key", meaning="number")
PLACE = Column(name="place", dtype="int64", role="input", meaning="number")
LISTED = Column(name="listed", dtype="int64", layout="list", shape=(2,), axes="T", role="key", meaning="tokens")
TEXT = Column(name="text", dtype="string", role="key", meaning="text")
TIME = Column(name="time", dtype="datetime64[us]", role="key", meaning="number")
LABEL = Column(name="label", dtype="string", role="target", meaning="category")
COLUMNS = (WIND, ACCT, LISTED, TEXT, TIME, LABEL)
SMOTE = Rebalance(method="smote", columns=("wind",))
STEPS = {
    "validate": Validate(required=("wind",), unique=("text",)),
    "deduplicate": Deduplicate(by="exact", columns=("text",)),
    "filter": Filter(keep="acct IS NULL OR acct <> 3"),
    "split": Split(by="hash", key="acct", test=0.3),
    "split by class": Split(by="stratified", test=0.3),
    "features": Features(add={"twice": {"expression": "coalesce(acct, 0)", "type": "long", "role": "key"}}),
    "rolling": Rolling(entity="text", time="time", value="wind", days=(1,), count="n{days}", mean="m{days}"),
    "scale": Scale(columns=("wind",), method="standard"),
    "tokenize": Tokenize(columns=("text",), by="characters"),
    "encode": Encode(columns=("label",)),
    "augment": Augment(ops=({"noise": 0.1},)),
    "duplicate": Rebalance(method="duplicate"),
    "undersample": Rebalance(method="undersample"),
    "smote": SMOTE,
    "rebalance augment": Rebalance(method="augment", ops=({"noise": 0.1},)),
    "weights": Rebalance(method="weights"),
    "mixup": Mixup(),
}

longs = st.one_of(
    st.none(), st.sampled_from([2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)]), st.integers(-(2**63), 2**63 - 1)
)
numbers = st.lists(longs, min_size=ROWS, max_size=ROWS)
_drawn = random.Random(7)
FIXED = [
    2**53 + 1,
    None,
    2**63 - 1,
    -(2**63),
    *(_drawn.randrange(2**53, 2**63) for _ in range(ROWS - 6)),
    None,
    2**53 + 3,
]


def table(spark, accounts, *columns):
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    rows = {
        "sample_id": [f"s{at:02d}" for at in range(len(accounts))],
        "split": ["train"] * len(accounts),
        "wind": [float(at * at) for at in range(len(accounts))],
        "acct": accounts,
        "place": accounts,
        "listed": [[one, 2**60 + 1] for one in accounts],
        "text": [f"t{at}" for at in range(len(accounts))],
        "time": [start + datetime.timedelta(hours=at) for at in range(len(accounts))],
        "label": ["rare" if at % 4 == 0 else "often" for at in range(len(accounts))],
    }
    schema = schema_of(columns)
    values = [tuple(rows[name][at] if name in rows else None for name in schema.names) for at in range(len(accounts))]
    return Table(spark.createDataFrame(values, schema), columns)


def test_every_step_keeps_them(spark, soak):
    def check(accounts):
        whole = table(spark, accounts, *COLUMNS)
        for name, step in STEPS.items():
            given_ = whole
            if name == "mixup":
                one_hot = Encode(columns=("label",), method="onehot")
                given_ = one_hot.apply(whole, one_hot.fit(whole, 0), 0)
            flow, _ = Flow.of(given_).through(name.partition(" ")[0], step, 0, lambda _: None)
            rows = flow.table.frame.select("sample_id", "acct", "listed", *(["twice"] if name == "features" else []))
            found = rows.collect()
            assert found, name
            for row in found:
                at = int(row["sample_id"].partition("+")[0][1:])
                assert (row["acct"], row["listed"]) == (accounts[at], [accounts[at], 2**60 + 1]), (name, row)
                assert name != "features" or row["twice"] == (accounts[at] or 0)

    run_examples(check, soak)


def test_as_categories_they_are_distinguished_by_all_their_digits(spark, soak):
    def check(accounts):
        whole = table(spark, accounts, PLACE, LABEL)
        index, onehot = (Encode(columns=("place",), method=method) for method in ("index", "onehot"))
        means = Encode(columns=("place",), method="target", target="label", positive="rare", smoothing=0, folds=2)
        for step in (index, onehot):
            learned = step.fit(whole, 0)
            classes = learned["place"]["classes"]
            assert {str(one) for one in accounts if one is not None} == set(classes) - {"(unknown)"}
            made = step.apply(whole, learned, 0).frame.orderBy("sample_id").select("place").collect()
            for one, row in zip(accounts, made, strict=True):
                number = row[0] if step is index else int(np.frombuffer(row[0], "<f4").argmax())
                assert one is None or classes[number] == str(one)
        learned = means.fit(whole, 0)
        assert {str(one) for one in accounts if one is not None} == set(learned["place"]["means"]) - {"(unknown)"}
        tested = table(spark, accounts, PLACE, LABEL)
        tested = Table(tested.frame.withColumn("split", F.lit("test")), tested.columns)
        made = [row[0] for row in means.apply(tested, learned, 0).frame.orderBy("sample_id").select("place").collect()]
        known = learned["place"]["means"]
        assert made == pytest.approx([known.get(str(one), known.get("(unknown)")) for one in accounts], rel=1e-6)

    run_examples(check, soak)


def test_missing_ones_are_filled_with_whole_numbers(spark, soak):
    def check(accounts):
        whole = table(spark, accounts, PLACE, LABEL)
        for step in (
            Impute(columns=("place",), method="frequent"),
            Impute(columns=("place",), method="constant", value=2**62 + 1),
        ):
            learned = step.fit(whole, 0)
            fill = learned["place"]["fill"]
            made = step.apply(whole, learned, 0)
            rows = [row[0] for row in made.frame.orderBy("sample_id").select("place").collect()]
            assert rows == [fill if one is None else one for one in accounts]
            assert made.column("place").dtype == "int64"

    run_examples(check, soak)


def test_smote_and_noise_keep_inputs_that_they_do_not_change(spark):
    whole = table(spark, [2**53 + 1] * ROWS, WIND, PLACE, LABEL)
    steps = (Rebalance(method="smote"), Augment(ops=({"noise": 0.5},)), Mixup())
    for step in steps:
        given_ = whole
        if isinstance(step, Mixup):
            one_hot = Encode(columns=("label",), method="onehot")
            given_ = one_hot.apply(whole, one_hot.fit(whole, 0), 0)
        made = step.apply(given_, step.fit(given_, 0), 0)
        assert {row[0] for row in made.frame.select("place").collect()} == {2**53 + 1}


def test_times_of_large_whole_numbers_stay_apart(spark):
    start = 1_700_000_000_000_000_001
    rows = [(f"s{at}", None, None, "train", start + at, float(at)) for at in range(6)]
    columns = (Column(name="tick", dtype="int64", role="key", meaning="number"), WIND)
    whole = Table(spark.createDataFrame(rows, schema_of(columns)), columns)
    step = Window(time="tick", look_back=2, horizon=1)
    learned = step.fit(whole, 0)
    made = step.apply(whole, learned, 0)
    assert learned["spacing"] == 1
    assert [row[0] for row in made.frame.select("length").collect()] == [6]


def test_groups_and_pieces_come_to_pandas_and_back_as_they_are(spark):
    schema = StructType(
        [StructField("key", StringType()), StructField("one", LongType()), StructField("all", ArrayType(LongType()))]
    )
    rows = [("a", 2**63 - 1, [2**53 + 1, None]), ("a", None, None), ("b", -(2**63), []), (None, 2**53 + 1, [1])]
    frame = spark.createDataFrame(rows, schema)

    def key(row):
        return str(tuple(row))

    assert sorted(map(tuple, in_pandas(frame, lambda pieces: pieces, schema).collect()), key=key) == sorted(
        rows, key=key
    )
    grouped = groups_in_pandas(frame, ["key"], 4, lambda group: group, schema).collect()
    assert sorted(map(tuple, grouped), key=key) == sorted(rows, key=key)


def test_times_after_2262_come_to_pandas_and_back():
    rows = pa.table({"time": pa.array([datetime.datetime(9999, 12, 31), None], pa.timestamp("us", "UTC"))})
    assert arrow_pandas.from_pandas(arrow_pandas.to_pandas(rows), rows.schema).equals(rows)
    assert arrow_pandas.to_pandas(rows)["time"].dtype == pd.Series([], dtype="datetime64[us]").dtype


def run_examples(check, soak):
    """The fixed numbers in every run, drawn ones in longer runs."""
    phases = tuple(Phase) if soak else (Phase.explicit,)
    settings(max_examples=15, phases=phases, suppress_health_check=list(HealthCheck))(
        example(FIXED)(given(numbers)(check))
    )()

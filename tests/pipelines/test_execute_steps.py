from datetime import UTC, datetime

import pytest

from millstream.pipelines.checks import split_checks
from millstream.pipelines.execute_steps import Flow
from millstream.pipelines.steps.features import Features
from millstream.pipelines.steps.filter import Filter
from millstream.pipelines.steps.rebalance import Rebalance
from millstream.pipelines.steps.scale import Scale
from millstream.pipelines.steps.split import Split
from millstream.pipelines.steps.validate import Validate
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from tests.pipelines.made import NUMBER, image, table

pytestmark = pytest.mark.spark
ROWS = [{"wind": float(at), "split": split} for at, split in enumerate(("train", "test", "train", "valid"))]


def quiet(message):
    pass


def begun(spark):
    return Flow(table(spark, ROWS, NUMBER)).settled()


def test_a_step_that_changes_no_row_leaves_the_rows_in_memory(spark):
    rows = [{"split": split, "image": bytes(4)} for split in ("train", "test")]
    flow = Flow(table(spark, rows, image(1, 2, 2))).settled()
    for name, step in (("rebalance", Rebalance(method="none")), ("scale", Scale(column="image", method="unit"))):
        after, done = flow.through(name, step, 3, quiet)
        assert after.table.frame is flow.kept
        assert (done.record.rows_in, done.record.rows_out) == (2, 2)
    assert flow.kept.is_cached
    flow.kept.unpersist()


def test_steps_that_add_columns_are_done_with_the_next_that_does_not(spark):
    flow, messages = begun(spark), []
    first = flow.kept
    for name in ("double", "more"):
        flow, done = flow.through("features", Features(add={name: {"expression": "wind * 2"}}), 1, messages.append)
        assert (flow.kept, done.record.rows_out) == (first, 4)
    flow, done = flow.through("filter", Filter(keep="more > 1"), 1, messages.append)
    assert flow.kept is flow.table.frame
    assert not first.is_cached
    assert flow.rows == {"train": 1, "test": 1, "valid": 1}
    assert (done.record.rows_in, done.record.rows_out) == (4, 3)
    assert messages[0] == "features: 4 rows in, 4 out, with the next step"
    assert "4 rows in, 3 out" in messages[2]


def test_doubts_that_such_steps_left_are_reported_before_a_row_is_lost(spark):
    holed = Features(add={"odd": {"expression": "CASE WHEN wind > 0 THEN 1 END"}})
    flow, _ = begun(spark).through("features", holed, 1, quiet)
    with pytest.raises(BadData, match="null in 1 rows"):
        flow.through("filter", Filter(keep="wind > 0"), 1, quiet)
    with pytest.raises(BadData, match="null in 1 rows"):
        flow.settled()


@pytest.mark.parametrize(
    ("name", "step"), [("filter", Filter(keep="double > 1")), ("split", Split(by="hash", test=0.5, valid=0.2))]
)
def test_steps_that_choose_among_rows_go_over_them_once_with_those_before(spark, name, step):
    flow, context = begun(spark), spark.sparkContext
    context.setJobGroup(f"flow of {name}", "")
    try:
        flow, _ = flow.through("features", Features(add={"double": {"expression": "wind * 2"}}), 1, quiet)
        after, done = flow.through(name, step, 1, quiet)
        assert len(context.statusTracker().getJobIdsForGroup(f"flow of {name}")) == 1
    finally:
        context.setLocalProperty("spark.jobGroup.id", None)
    assert (done.record.rows_in, done.record.rows_out) == (4, after.table.frame.count())


def test_a_row_that_no_period_holds_is_reported_when_it_spoils_a_feature(spark):
    rows = [{"wind": 1.0, "at": datetime(2018, 1, day, tzinfo=UTC)} for day in (1, 2, 3)]
    at = Column(name="at", dtype="datetime64[us]", role="key", meaning="number")
    holed = Features(add={"odd": {"expression": "CASE WHEN day(at) > 1 THEN 1 END"}})
    periods = Split(
        by="time", time="at", periods={"train": ["2018-01-02", "2018-01-03"], "test": ["2018-01-03", "2018-02-01"]}
    )
    flow = Flow(table(spark, rows, NUMBER, at)).settled()
    with pytest.raises(BadData, match="null in 1 rows"):
        flow.through("features", holed, 1, quiet)[0].through("split", periods, 1, quiet)
    after, _ = flow.through("split", periods, 1, quiet)
    assert after.rows == {"train": 1, "test": 1}


def test_a_step_is_shown_train_rows_alone(spark):
    seen = []

    class Curious(Split):
        def fit(self, train, seed):
            seen.extend(row[0] for row in train.frame.select("split").collect())
            return {"rows": len(seen)}

        def apply(self, table, learned, seed):
            return table

    _, done = begun(spark).through("curious", Curious(by="hash"), 1, quiet)
    assert seen == ["train", "train"]
    assert done.fit == split_checks.Fit("curious", seen=2, train=2)


def test_refused_rows_are_held_when_their_own_are_gone(spark):
    flow = begun(spark)
    after, done = flow.through("validate", Validate(rules={"windy": "wind > 0"}), 1, quiet)
    assert done.record.rows_out == 3
    assert after.table.refused.is_cached
    assert [row.sample_id for row in after.table.refused.collect()] == ["s0"]

"""Recipes that leak are refused before anything runs, with the step and what would do."""

import json

import pytest
from pydantic import ValidationError

from millstream.pipelines import prepare
from millstream.pipelines.steps.split import Split
from millstream.tracking.errors import BadData
from millstream.tracking.recipe.loader import load

pytestmark = pytest.mark.bad_input

COLUMNS = {
    "card": {"type": "string", "role": "key"},
    "time": {"type": "timestamp", "role": "key"},
    "paid": {"type": "double"},
    "fraud": {"type": "long", "role": "target"},
}
SPLIT = {"split": {"by": "hash", "test": 0.2}}
WINDOW = {"entity": "card", "time": "time", "days": [1], "count": "n{days}", "mean": "m{days}"}
BY_TIME = {"split": {"by": "time", "time": "time", "test": 0.2}}
MEANS = {"encode": {"columns": ["paid"], "method": "target", "target": "fraud"}}
SMOTE = {"rebalance": {"method": "smote"}}
PAST = {"rolling": {**WINDOW, "value": "paid"}}


def faults(folder, *steps, columns=None):
    source = {"name": "table", "files": [{"name": "rows.csv"}], "columns": {**COLUMNS, **(columns or {})}}
    content = {
        "about": "a test",
        "data": {"source": source, "steps": list(steps)},
        "task": {"name": "classify", "target": "fraud"},
        "network": {"name": "classical/tree"},
    }
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(content))
    return [fault.message for fault in prepare.faults(load(str(path)))]


def features(**expressions_):
    return {"features": {"add": {name: {"expression": text} for name, text in expressions_.items()}}}


@pytest.mark.parametrize(
    ("steps", "step", "message"),
    [
        ([features(cheat="paid * fraud"), SPLIT], "0.features", "cheat: is computed from the target fraud"),
        ([features(cheat="`FRAUD` + 1"), SPLIT], "0.features", "target fraud of its own row"),
        (
            [features(day="sum(fraud) OVER (PARTITION BY card ORDER BY time)"), SPLIT],
            "0.features",
            "day: is computed from the target",
        ),
        ([features(level="paid - avg(paid) OVER ( )"), SPLIT], "0.features", "reads the rows of every split"),
        (
            [features(level="paid - avg(paid) OVER (PARTITION BY 1)"), SPLIT],
            "0.features",
            "reads the rows of every split",
        ),
        *[
            (
                [features(mean="avg(paid) OVER (PARTITION BY card)"), split],
                "0.features",
                "mean: reads all rows of a group",
            )
            for split in (
                SPLIT,
                {"split": {"by": "stratified", "test": 0.2}},
                {"split": {"by": "given", "valid": 0.1}},
                {"split": {"by": "hash", "test": 0.2, "key": "time"}},
            )
        ],
        (
            [features(mean="avg(paid) OVER (PARTITION BY `split`)"), SPLIT],
            "0.features",
            "PARTITION BY the key of the split, which has none",
        ),
        ([{"rolling": {**WINDOW, "value": "fraud"}}, SPLIT], "0.rolling", "fraud is the target"),
        ([SPLIT, {"rebalance": {"method": "duplicate"}}, PAST], "2.rolling", "stands after rebalance"),
        (
            [
                SPLIT,
                {"augment": {"ops": [{"noise": 0.1}]}},
                features(n="count(*) OVER (PARTITION BY card ORDER BY time)"),
            ],
            "2.features",
            "stands after augment",
        ),
        ([SPLIT, {"mixup": {}}, {"decontaminate": {"then": "refuse"}}], "2.decontaminate", "stands after mixup"),
        ([SPLIT, SMOTE, MEANS], "2.encode", "stands after rebalance, whose rows are made of two"),
        ([SPLIT, {"mixup": {}}, MEANS], "2.encode", "stands after mixup"),
        ([{"mixup": {}}, SPLIT], "0.mixup", "stands before the split"),
        ([{"decontaminate": {"then": "refuse"}}, SPLIT], "0.decontaminate", "stands before the split"),
        *[
            ([features(ahead=text), BY_TIME], "0.features", "ahead: reads rows that come later")
            for text in (
                "avg(paid) OVER (PARTITION BY card)",
                "coalesce(lead(paid) OVER (PARTITION BY card ORDER BY time), 0)",
                "sum(paid) OVER (PARTITION BY card ORDER BY time ROWS BETWEEN 1 PRECEDING AND 1 Following)",
                "sum(paid) OVER (PARTITION BY card ORDER BY coalesce(time, 0) DESC)",
                "sum(paid) OVER (ORDER BY time) / sum(paid) OVER (PARTITION BY card)",
            )
        ],
        ([SPLIT, {"deduplicate": {"by": "exact"}}], "1.deduplicate", "stands after the split"),
        ([SPLIT, SPLIT], "1.split", "a second split"),
        ([{"split": {"by": "hash", "test": 0.2, "key": "paid"}}], "0.split", "paid is an input"),
        ([SPLIT, {"rebalance": {"method": "duplicate", "split": "test"}}], "1.rebalance.split", "no such field"),
    ],
)
def test_a_recipe_that_leaks_is_refused_with_the_step_that_does(tmp_path, steps, step, message):
    (found,) = faults(tmp_path, *steps)
    assert found.startswith(f"data.steps.{step}")
    assert message in found


def test_what_a_feature_learned_of_the_target_is_followed(tmp_path):
    hidden = {"known": {"expression": "fraud * 2", "role": "key"}, "cheat": {"expression": "known + 1"}}
    (found,) = faults(tmp_path, {"features": {"add": hidden}}, SPLIT)
    assert "cheat: is computed from the target known" in found


def test_a_target_that_lies_ahead_needs_a_gap(tmp_path):
    ahead = {"features": {"add": {"next": {"expression": "lead(paid) OVER (ORDER BY time)", "role": "target"}}}}
    (found,) = faults(tmp_path, ahead, BY_TIME)
    assert "next: reads rows that come later" in found
    assert "give the split a gap" in found
    assert faults(tmp_path, ahead, {"split": {**BY_TIME["split"], "gap": 1}}) == []


@pytest.mark.parametrize("method", ["smote", "undersample", "weights"])
def test_weights_of_rows_that_are_then_made_or_left_out_are_refused(tmp_path, method):
    weights, second = {"rebalance": {"method": "weights"}}, {"rebalance": {"method": method}}
    (found,) = faults(tmp_path, SPLIT, weights, {"rebalance": {"method": "none"}}, second)
    assert found.startswith("data.steps.3.rebalance: stands after weights")
    assert faults(tmp_path, SPLIT, second, *([weights] if method != "weights" else [])) == []
    assert faults(tmp_path, SPLIT, weights, {"augment": {"ops": [{"noise": 0.1}]}}) == []


def test_what_a_feature_learned_of_later_rows_is_followed(tmp_path):
    hidden = {
        "last": {"expression": "max(paid) OVER (PARTITION BY card)", "role": "key"},
        "cheat": {"expression": "last + 1"},
    }
    (found,) = faults(tmp_path, {"features": {"add": hidden}}, BY_TIME)
    assert "cheat: reads rows that come later" in found


def test_what_a_feature_learned_of_a_group_is_followed(tmp_path):
    hidden = {
        "mean": {"expression": "avg(paid) OVER (PARTITION BY card)", "role": "key"},
        "cheat": {"expression": "paid - Mean"},
    }
    (found,) = faults(tmp_path, {"features": {"add": hidden}}, SPLIT)
    assert "cheat: reads all rows of a group" in found


MEAN, LAST = "avg(paid) OVER (PARTITION BY card)", "max(paid) OVER (PARTITION BY card)"


@pytest.mark.parametrize(
    ("first", "second", "split", "message"),
    [
        (LAST, features(cheat="known + 1"), BY_TIME, "cheat: reads rows that come later"),
        (LAST, {"rolling": {**WINDOW, "value": "Known"}}, BY_TIME, "m1: reads rows that come later"),
        (MEAN, features(cheat="paid - known"), SPLIT, "cheat: reads all rows of a group"),
        (MEAN, {"rolling": {**WINDOW, "value": "Known"}}, SPLIT, "m1: reads all rows of a group"),
    ],
)
def test_what_was_learned_of_other_rows_is_followed_from_step_to_step(tmp_path, first, second, split, message):
    known = {"features": {"add": {"Known": {"expression": first, "role": "key"}}}}
    (found,) = faults(tmp_path, known, second, split)
    assert message in found
    assert found.startswith(f"data.steps.1.{next(iter(second))}: ")


def test_the_target_of_an_earlier_row_is_not_brought_back_to_its_own(tmp_path):
    window = "OVER (PARTITION BY card ORDER BY time)"
    hidden = {
        "before": {"expression": f"lag(fraud) {window}", "role": "key"},
        "cheat": {"expression": f"coalesce(lead(before) {window}, 0)"},
    }
    (found,) = faults(tmp_path, {"features": {"add": hidden}}, SPLIT)
    assert "cheat: is computed from the target before" in found


def hidden(expression):
    return {"features": {"add": {"Known": {"expression": expression, "role": "key"}}}}


LAG, LEAD = (f"{function} OVER (PARTITION BY card ORDER BY time)" for function in ("lag(fraud)", "lead({})"))


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (hidden("fraud * 2"), features(cheat="known + 1"), "target Known (of the step features before) of its own row"),
        (hidden(LAG), features(cheat=LEAD.format("known")), "target Known (of the step features before)"),
        (
            {"rolling": {**WINDOW, "value": "fraud", "delay": 7}},
            features(cheat=LEAD.format("m1")),
            "target m1 (of the step rolling before)",
        ),
        (
            hidden("fraud * 2"),
            {"rolling": {**WINDOW, "value": "Known"}},
            "Known is computed from the target by the step features before",
        ),
    ],
)
def test_the_target_is_followed_from_step_to_step(tmp_path, first, second, message):
    (found,) = faults(tmp_path, first, SPLIT, second)
    assert message in found
    assert found.startswith(f"data.steps.2.{next(iter(second))}: ")


def test_the_target_is_followed_where_only_the_source_declares_which_it_is(settings, tmp_path):
    path = tmp_path / "recipe.yaml"
    steps = [hidden("label * 2"), features(cheat="known + 1"), SPLIT]
    data = {"source": {"name": "digits", "limit": 20}, "steps": steps}
    path.write_text(json.dumps({"about": "a test", "data": data}))
    with pytest.raises(BadData, match=r"step features: cheat: .* Known \(of the step features before\)"):
        prepare.prepare(load(str(path)), settings, say=lambda message: None)


@pytest.mark.parametrize(
    "steps",
    [
        [hidden(LAG), features(before="coalesce(known, 0)"), {"rolling": {**WINDOW, "value": "Known"}}, SPLIT],
        [features(before="coalesce(lag(fraud) OVER (PARTITION BY card ORDER BY time), 0)"), SPLIT],
        [
            features(
                week="sum(fraud) OVER (ORDER BY time RANGE BETWEEN UNBOUNDED PRECEDING AND INTERVAL 7 DAYS PRECEDING)"
            )
        ],
        [features(text="length('fraud')"), SPLIT],
        [
            features(
                so_far="sum(paid) OVER (PARTITION BY card ORDER BY time)", dear="paid > 3 AND 'desc' < 'following'"
            ),
            BY_TIME,
        ],
        [{"features": {"add": {"next": {"expression": "lead(paid) OVER (ORDER BY time)", "role": "key"}}}}, BY_TIME],
        [features(mean="avg(paid) OVER (PARTITION BY card)"), {"split": {"by": "hash", "test": 0.2, "key": "card"}}],
        [
            features(mean="avg(paid) OVER (PARTITION BY date(time), Card)"),
            {"split": {"by": "given", "valid": 0.2, "key": "card"}},
        ],
        [SPLIT, features(mean="avg(paid) OVER (PARTITION BY card, `split`)")],
        [features(mean="avg(paid) OVER (PARTITION BY card)"), {"split": {"by": "given", "column": "card"}}],
        [{"features": {"add": {"rows": {"expression": "count(*) OVER (PARTITION BY card)", "role": "key"}}}}, SPLIT],
        [{"features": {"add": {"late": {"expression": "fraud", "role": "key"}}}}, SPLIT],
        [{"rolling": {**WINDOW, "value": "fraud", "delay": 7}}, SPLIT],
        [PAST, SPLIT, {"rebalance": {"method": "duplicate"}}],
        [SPLIT, {"rebalance": {"method": "duplicate"}}, MEANS],
        [SPLIT, MEANS, SMOTE],
        [SPLIT, SMOTE, {"encode": {"columns": ["paid"]}}],
        [SPLIT, {"rebalance": {"method": "weights"}}, PAST],
        [{"split": {"by": "hash", "test": 0.2, "key": "card"}}],
    ],
)
def test_what_looks_back_or_keeps_the_rows_is_let_through(tmp_path, steps):
    assert faults(tmp_path, *steps) == []


def test_a_key_keeps_no_groups_together_where_time_splits():
    with pytest.raises(ValidationError, match="key: by: time looks at single rows"):
        Split(by="time", time="time", key="card", test=0.2)

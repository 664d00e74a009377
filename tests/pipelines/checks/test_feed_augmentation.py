import pytest

from millstream.pipelines.checks import feed_augmentation
from millstream.pipelines.steps.augment import Augment
from millstream.pipelines.steps.mixup import Mixup
from millstream.pipelines.steps.scale import Scale
from millstream.tracking.dataset.records import Step
from tests.pipelines.made import NUMBER, TEXT, table


def record(name, learned, **config):
    return Step(name=name, version=1, config=config, learned=learned, rows_in=1, rows_out=1, seconds=0.0)


NOISE = record("augment", {"column": "numbers", "modality": "table", "deviations": {"wind": 1.5}}, where="feed")
SWAP = record("augment", {"column": "text", "modality": "text"}, where="feed")
FLIP = record("augment", {"column": "image", "modality": "image"}, where="feed")
IN_SPARK = record("augment", {"deviations": {"wind": 1.5}}, where="spark")
FILL = record("impute", {"wind": {"fill": 0.0}})
SCALE = record("scale", {"wind": {"offset": 0.0, "factor": 1.0}})
OTHER = record("scale", {"rain": {"offset": 0.0, "factor": 1.0}})
UNIT = record("scale", {"image": {"offset": 0.0, "factor": 1.0}})
TOKENS = record("tokenize", {"text": {"to": "text_tokens", "vocabulary": []}})
CLASSES = record("encode", {"text": {"method": "index", "classes": []}})


@pytest.mark.parametrize(
    "steps",
    [
        [SCALE, NOISE],
        [FILL, SCALE, NOISE, OTHER],
        [NOISE, FILL],
        [IN_SPARK, SCALE],
        [SWAP, TOKENS],
        [FLIP, FLIP, UNIT],
    ],
    ids=lambda steps: ", ".join(step.name for step in steps),
)
def test_what_the_feed_can_do_is_left_alone(steps):
    assert feed_augmentation.faults(steps) == []


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([NOISE, SCALE], r"scale changes the numbers ['wind'] behind it; put augment behind scale"),
        ([SWAP], "nothing makes tokens of 'text' behind it; put tokenize there, or use `where: spark`"),
        ([SWAP, CLASSES], "nothing makes tokens of 'text' behind it"),
        ([SWAP, SWAP, TOKENS], "another augment changes 'text'; put the ops of both into one step"),
    ],
)
def test_what_it_cannot_do_is_refused_with_a_remedy(steps, message):
    found = feed_augmentation.faults(steps)
    assert len(found) == 1
    assert found[0].where == "step augment"
    assert found[0].message.startswith(f"where: feed, and {message}")


SWAPPED = ("augment", Augment(ops=({"swap": 0.1},), where="feed"))
NOISY = ("augment", Augment(ops=({"noise": 0.1},), where="feed", column="numbers"))
SCALED = ("scale", Scale(columns="numbers", method="standard"))
OWN = ("scale", Scale(column="rain", method="standard"))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([SWAPPED], [(0, "where: feed, and nothing makes tokens of the texts behind it")]),
        ([NOISY, OWN, SCALED], [(0, "where: feed, and scale changes the numbers behind it")]),
        ([SWAPPED, ("tokenize", None)], []),
        ([SCALED, NOISY, OWN], []),
        ([("augment", Augment(ops=({"swap": 0.1},))), ("augment", None)], []),
    ],
)
def test_what_a_recipe_shows_is_refused_before_anything_runs(steps, message):
    assert [(at, message.split(";")[0]) for at, message in feed_augmentation.of_order(steps)] == message


@pytest.mark.spark
@pytest.mark.bad_input
def test_records_of_real_steps_are_read(spark):
    rows = table(spark, [{"wind": 1.0, "text": "a"}, {"wind": 4.0, "text": "b"}], NUMBER, TEXT)
    steps = [
        Augment(ops=({"noise": 0.1},), where="feed"),
        Scale(columns="numbers", method="standard"),
        Augment(ops=({"swap": 0.1},), where="feed"),
    ]
    names = ["augment", "scale", "augment"]
    records = [record(name, step.fit(rows, 0), **step.model_dump()) for name, step in zip(names, steps, strict=True)]
    assert [fault.message.split(";")[0] for fault in feed_augmentation.faults(records)] == [
        "where: feed, and scale changes the numbers ['wind'] behind it",
        "where: feed, and nothing makes tokens of 'text' behind it",
    ]


@pytest.mark.spark
def test_mixup_in_the_feed_makes_no_rows(spark):
    rows = table(spark, [{"wind": 1.0}, {"wind": 4.0}], NUMBER)
    step = Mixup(where="feed")
    assert not step.resamples
    assert step.apply(rows, step.fit(rows, 0), 0).frame.count() == 2

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import MultiLabelBinarizer

from millstream.pipelines.steps import encode
from millstream.pipelines.steps.encode import Encode
from millstream.tracking.dataset.records import Column, Step
from millstream.tracking.errors import BadData
from millstream.tracking.serving import replay
from tests.pipelines.made import LABEL, NUMBER, rows_of, table
from tests.training.signatures import manifest

pytestmark = pytest.mark.spark

SEEN = Column(name="seen", dtype="string", role="target", meaning="category")
LISTED = ["dog, man", "", "ball,dog , dog", " man"]


def seen(spark, *texts):
    return table(spark, [{"seen": text} for text in texts], SEEN)


def vectors(found):
    return [np.frombuffer(row[0], "<f4").tolist() for row in rows_of(found, "seen")]


@pytest.mark.parametrize("separator", [",", ".", "|", "\\E", " | "])
def test_tags_are_those_of_scikit_learn(spark, separator):
    step = Encode(columns=("seen",), method="tags", separator=separator)
    given = seen(spark, *(text.replace(",", separator) for text in LISTED))
    learned = step.fit(given, 0)
    oracle = MultiLabelBinarizer()
    expected = oracle.fit_transform([{tag.strip() for tag in text.split(",")} - {""} for text in LISTED])
    assert learned["seen"]["classes"] == oracle.classes_.tolist()
    assert vectors(step.apply(given, learned, 0)) == expected.tolist()


def test_a_target_has_the_tags_as_classes(spark):
    step = Encode(columns=("seen",), method="tags")
    found = step.apply(seen(spark, *LISTED), step.fit(seen(spark, *LISTED), 0), 0)
    signature = manifest(*found.columns).signature("seen")
    assert (signature.classes, signature.outputs, signature.target.dtype) == (("ball", "dog", "man"), 3, "float32")


def test_a_target_that_cannot_be_encoded_is_quarantined_and_one_without_tags_is_not(spark):
    step = Encode(columns=("seen",), method="tags")
    found = step.apply(seen(spark, "dog", "dog,cat", None, "  "), step.fit(seen(spark, *LISTED), 0), 0)
    assert vectors(found) == [[0, 1, 0], [0, 0, 0]]
    assert {
        row.sample_id: row.reason for row in found.refused.select("sample_id", "reason").collect()
    } == dict.fromkeys(("s1", "s2"), "seen: missing, or a tag that train has not")


def test_serving_reads_an_input_as_the_step_did(spark):
    column = SEEN.model_copy(update={"role": "input"})
    texts = ["dog,cat", None, "man, ball", ""]
    step = Encode(columns=("seen",), method="tags")
    learned = step.fit(table(spark, [{"seen": text} for text in LISTED], column), 0)
    found = step.apply(table(spark, [{"seen": text} for text in texts], column), learned, 0)
    assert vectors(found) == [[0, 1, 0], [0, 0, 0], [1, 0, 1], [0, 0, 0]]
    done = Step(name="encode", version=1, config={}, learned=learned, rows_in=1, rows_out=1, seconds=0)
    model = manifest(*found.columns).model_copy(update={"steps": (done,)})
    assert [(one.name, one.dtype, one.layout) for one in replay.raw_columns(model)] == [("seen", "string", "scalar")]
    again = replay.replay(pd.DataFrame({"seen": texts}), model)
    assert [np.frombuffer(row, "<f4").tolist() for row in again["seen"]] == vectors(found)
    assert replay.restore(again, model)["seen"].tolist() == ["dog", "", "ball,man", ""]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([{"seen": "dog"}, {"seen": "dog,"}], r"have \['dog'\]; expected two or more, set apart by ','"),
        ([{"seen": ""}, {"seen": None}], "have no tag; expected two or more"),
    ],
)
def test_less_than_two_tags_are_nothing_to_distinguish(spark, made, message):
    with pytest.raises(BadData, match=message):
        Encode(columns=("seen",), method="tags").fit(table(spark, made, SEEN), 0)


@pytest.mark.bad_input
def test_free_text_is_no_list_of_tags(spark, monkeypatch):
    monkeypatch.setattr(encode, "MOST_PLACES", 2)
    with pytest.raises(BadData, match="seen: more than 2 tags in train, as of free text"):
        Encode(columns=("seen",), method="tags").fit(seen(spark, *LISTED), 0)


@pytest.mark.bad_input
def test_a_number_lists_no_tags(spark):
    with pytest.raises(BadData, match="wind: tags are read from a text, and it is float64"):
        Encode(columns=("wind",), method="tags").fit(table(spark, [{"wind": 1.0, "label": "a"}], NUMBER, LABEL), 0)

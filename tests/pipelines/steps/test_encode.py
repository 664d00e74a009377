import pandas as pd
import pytest

from pipelines.steps.encode import Encode
from tests.pipelines.made import CITY, LABEL, TEXT, rows_of, table
from tracking import preprocess
from tracking.faults import BadData

pytestmark = pytest.mark.spark


def test_unknown_and_missing_inputs_are_class_zero(spark):
    step = Encode(columns=("city",))
    learned = step.fit(table(spark, [{"city": "Graz"}, {"city": "Bonn"}, {"city": None}], CITY), 0)
    assert learned["city"]["classes"] == ["(unknown)", "Bonn", "Graz"]
    found = step.apply(table(spark, [{"city": "Graz"}, {"city": "Oslo"}, {"city": None}], CITY), learned, 0)
    assert rows_of(found, "city") == [(2,), (0,), (0,)]
    assert found.columns[0].classes == ("(unknown)", "Bonn", "Graz")


def test_a_label_that_train_does_not_know_is_put_aside(spark):
    step = Encode(columns=("label",))
    learned = step.fit(table(spark, [{"label": "b"}, {"label": "a"}], LABEL), 0)
    found = step.apply(table(spark, [{"label": "a"}, {"label": "z"}, {"label": None}], LABEL), learned, 0)
    assert rows_of(found, "label") == [(0,)]
    assert sorted(row[0] for row in found.refused.select("sample_id").collect()) == ["s1", "s2"]
    assert {row[0] for row in found.refused.select("reason").collect()} == {"label: missing, or no class of train"}


def test_characters_of_train_make_the_vocabulary(spark):
    step = Encode(columns=("text",), method="characters", longest=5)
    learned = step.fit(table(spark, [{"text": "ab a"}, {"text": "ç"}], TEXT), 0)
    assert learned["text"]["vocabulary"] == ["(pad)", "(unknown)", " ", "a", "b", "ç"]
    rows = [{"text": text} for text in ("bab", "axb", "  ", "abcdef")]
    found = step.apply(table(spark, rows, TEXT), learned, 0)
    assert rows_of(found, "tokens") == [([4, 3, 4],), ([3, 1, 4],)]
    reasons = {row.sample_id: row.reason for row in found.refused.collect()}
    assert reasons == {"s2": "text: empty", "s3": "text: over 5 characters"}
    assert found.column("tokens").shape == (3,)
    assert found.column("text").role == "key"


def test_serving_reads_rows_as_the_step_did(spark):
    step = Encode(columns=("city",))
    rows = [{"city": name} for name in ("Graz", "Bonn", "Graz", "Kyiv")]
    learned = step.fit(table(spark, rows, CITY), 0)
    by_spark = [row[0] for row in rows_of(step.apply(table(spark, rows, CITY), learned, 0), "city")]
    served = preprocess.category_numbers(
        pd.Series([row["city"] for row in rows]), learned["city"]["classes"], unknown=0
    )
    assert by_spark == served.tolist()


@pytest.mark.bad_input
def test_a_missing_column_is_named(spark):
    with pytest.raises(BadData, match="'town'"):
        Encode(columns=("town",)).fit(table(spark, [{"city": "Graz"}], CITY), 0)

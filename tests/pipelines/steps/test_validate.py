import pytest
from pydantic import ValidationError

from millstream.pipelines.steps.validate import Validate
from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData
from tests.pipelines.made import CITY, NUMBER, rows_of, table

pytestmark = [pytest.mark.spark, pytest.mark.bad_input]
ROWS = [
    {"wind": 3.0, "city": "Graz"},
    {"wind": -1.0, "city": "Bonn"},
    {"wind": None, "city": None},
    {"wind": 3.0, "city": "Graz"},
]


def test_rows_that_break_a_rule_are_quarantined_under_its_name(spark):
    step = Validate(rules={"wind blows": "wind >= 0"}, required=("city",))
    found = step.apply(table(spark, ROWS, NUMBER, CITY), {}, 0)
    assert rows_of(found, "sample_id") == [("s0",), ("s3",)]
    reasons = {row.sample_id: row.reason for row in found.refused.collect()}
    assert reasons == {"s1": "wind blows", "s2": "city is missing"}
    assert '"wind":-1.0' in found.refused.where("sample_id = 's1'").head().content


def test_the_first_of_equal_values_is_kept(spark):
    found = Validate(unique=("city",)).apply(table(spark, ROWS, NUMBER, CITY), {}, 0)
    assert rows_of(found, "sample_id") == [("s0",), ("s1",), ("s2",)]
    assert [row.reason for row in found.refused.collect()] == ["city comes twice"]


def test_the_first_line_of_a_file_is_kept(spark):
    rows = [{"sample_id": f"t.csv:{line}", "city": "Graz"} for line in (2, 10, 100)]
    found = Validate(unique=("city",)).apply(table(spark, rows, CITY), {}, 0)
    assert rows_of(found, "sample_id") == [("t.csv:2",)]


def test_all_rules_that_cannot_be_read_are_reported_at_once(spark):
    step = Validate(rules={"broken": "wind >=", "stranger": "sun > 1"}, required=("moon",))
    with pytest.raises(BadData) as refused:
        step.apply(table(spark, ROWS, NUMBER, CITY), {}, 0)
    assert len(refused.value.faults) == 3


@pytest.mark.security
def test_a_rule_cannot_run_code_or_read_other_tables():
    for rule in ("java_method('java.lang.System', 'exit', 1) is null", "wind IN (SELECT 1)"):
        with pytest.raises(ValidationError, match="not for a rule"):
            Validate(rules={"bad": rule})


@pytest.mark.security
def test_a_column_name_with_quotes_and_dots_is_only_a_name(spark):
    odd = Column(name="a.b`'; DROP 🙂", dtype="float64", role="input", meaning="number")
    found = Validate(required=(odd.name,)).apply(table(spark, [{odd.name: 1.0}, {odd.name: None}], odd), {}, 0)
    assert rows_of(found, "sample_id") == [("s0",)]

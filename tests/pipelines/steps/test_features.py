import pytest
from pydantic import ValidationError

from millstream.pipelines.steps.features import Features
from millstream.pipelines.steps.filter import Filter
from millstream.tracking.errors import BadData
from tests.pipelines.made import CITY, NUMBER, rows_of, table

pytestmark = pytest.mark.spark
ROWS = [{"wind": 2.0, "city": "Graz"}, {"wind": 5.0, "city": "Bonn"}, {"wind": 4.0, "city": "Graz"}]


def apply(spark, step, partitions=None):
    return step.apply(table(spark, ROWS, NUMBER, CITY, partitions=partitions), {}, 1)


def test_a_feature_may_use_the_row_its_neighbours_and_the_features_before(spark):
    step = Features(
        add={
            "double": {"expression": "wind * 2", "unit": "m/s"},
            "more": {"expression": "`double` + 1", "type": "long"},
            "of city": {"expression": "sum(wind) OVER (PARTITION BY city)"},
            "first": {"expression": "lag(wind) OVER (PARTITION BY city ORDER BY wind)", "role": "key"},
        }
    )
    for partitions in (1, 3):
        made = apply(spark, step, partitions)
        assert rows_of(made, "double", "more", "of city", "first") == [(4, 5, 6, None), (10, 11, 5, None), (8, 9, 6, 2)]
    assert [(column.dtype, column.unit) for column in made.columns[2:4]] == [("float64", "m/s"), ("int64", "")]


@pytest.mark.bad_input
def test_every_expression_that_cannot_be_computed_is_reported_at_once(spark):
    step = Features(add={"a": {"expression": "wnd * 2"}, "b": {"expression": "wind *"}, "wind": {"expression": "1"}})
    with pytest.raises(BadData) as refused:
        apply(spark, step)
    assert [fault.where for fault in refused.value.faults] == [
        f"step features, '{name}'" for name in ("a", "b", "wind")
    ]


@pytest.mark.bad_input
def test_an_input_that_is_null_is_refused_with_its_count(spark):
    made = apply(spark, Features(add={"a": {"expression": "CASE WHEN wind > 2 THEN 1 WHEN city = 'Bonn' THEN 2 END"}}))
    with pytest.raises(BadData, match="step features, 'a': null in 1 rows; use coalesce"):
        made.counted()


@pytest.mark.security
@pytest.mark.parametrize(
    "expression",
    ["java_method('java.lang.System', 'exit', 1)", "(SELECT 1)", "rand()", "uuid()", "now()", "reflect('a', 'b')"],
)
def test_what_runs_or_differs_is_no_expression(expression):
    with pytest.raises(ValidationError, match="has no place"):
        Features(add={"a": {"expression": expression}})
    with pytest.raises(ValidationError, match="has no place"):
        Filter(keep=f"{expression} > 1")


def test_words_in_texts_and_names_are_no_calls():
    Filter(keep="city = 'select random' AND `rand` > 1 AND brand > 2")


def test_a_filter_keeps_the_rows_for_which_it_is_true(spark):
    assert rows_of(apply(spark, Filter(keep="wind > 2 AND city <> 'Oslo'")), "wind") == [(5.0,), (4.0,)]
    with pytest.raises(BadData, match="wnd"):
        apply(spark, Filter(keep="wnd > 2"))


@pytest.mark.bad_input
def test_a_feature_does_not_write_over_a_column_whatever_its_case(spark):
    with pytest.raises(BadData, match="there is a column 'wind' already; give another name"):
        apply(spark, Features(add={"Wind": {"expression": "wind * 2"}}))

"""Expressions of a recipe compare and compute; they run nothing, and give the same in every run."""

import pytest

from millstream.pipelines.sql import expressions
from millstream.pipelines.sql.expressions import refused_word


@pytest.mark.parametrize(
    "expression",
    [
        "brand > 1 AND random_walk = 2",
        "mode = 'select' AND text = \"reflect('a')\"",
        "'it\\'s random' = a",
        "`rand` > 1 AND `a``select` = 2",
        "now > 1 AND version = 2 AND user = 'x'",
        "current_balance > unix_timestamp(at)",
        "r'\\d' = a",
        "transform(array(a), x -> x + 1)[0] = 2",
    ],
)
def test_words_in_names_and_texts_are_no_functions(expression):
    assert refused_word(expression) is None


@pytest.mark.security
@pytest.mark.parametrize(
    ("expression", "word"),
    [
        ("RAND() > 1", "rand"),
        ("exists(SELECT 1)", "select"),
        ("reflect('java.lang.System', 'exit')", "reflect"),
        ("`java_method` ('a', 'b')", "java_method"),
        ("`system`.`builtin`.`reflect`('a', 'b')", "reflect"),
        # a raw text ends at its first quote, whatever stands before it
        (r"r'\' = reflect('a', 'b') OR r'\'", "reflect"),
        ('R"\\" = reflect("a") OR r"\\"', "reflect"),
        ("'a\\\\' = reflect('a', 'b')", "reflect"),
        ("a -- > 1", "--"),
        ("a /* > */", "/*"),
        ("now ( ) > at", "now"),
        ("current_date > at", "current_date"),
        ("user() = 'me'", "user"),
        ("raise_error('x')", "raise_error"),
    ],
)
def test_what_runs_or_differs_is_refused_however_it_is_written(expression, word):
    assert refused_word(expression) == word


@pytest.mark.spark
@pytest.mark.security
def test_a_secret_of_the_environment_cannot_be_named(spark):
    for expression in ("'${env:HOME}'", "'${system:user.home}'", "'${hiveconf:x}'"):
        assert spark.range(1).selectExpr(expression).collect()[0][0] == expression[1:-1]


def test_names_are_read_from_an_expression_as_spark_reads_them():
    found = expressions.names_in("CASE WHEN `my ``odd` > 1 THEN Paid ELSE 'not me' || \"nor me\" END")
    assert {"my `odd", "paid"} <= found
    assert not {"not", "me", "nor"} & found
    # a raw text ends at its first quote
    assert "y" in expressions.names_in(r"r'\' || y || r'\'")


@pytest.mark.parametrize("expression", ["to_json(struct(*))", "hash(x, *)", "hash(t.*)", "identifier('y') * 2"])
def test_columns_that_are_not_named_are_all(expression):
    assert expressions.EVERYTHING in expressions.names_in(expression)


def test_a_product_and_a_count_read_no_other_columns():
    assert expressions.EVERYTHING not in expressions.names_in("a * (b) * 2 + count(*) OVER (PARTITION BY a)")


PAST = "OVER (PARTITION BY card ORDER BY day)"
FRAME = "OVER (PARTITION BY card ORDER BY day {} BETWEEN UNBOUNDED PRECEDING AND {} PRECEDING)"
TIMES = FRAME.replace("ORDER BY day", "ORDER BY time")
LOOKING_BACK = [
    f"lag(y) {PAST}",
    f"x - coalesce(LAG(y * 2 + x, 2, 0.5D) {PAST}, x)",
    f"`lag`(y) IGNORE NULLS {PAST}",
    f"sum(CASE WHEN x > 1 THEN y END) {FRAME.format('ROWS', 1)}",
    f"max(y) {FRAME.format('RANGE', 2)} - (x)",
    f"first_value(y, true) {FRAME.format('rows', '1').lower()}",
    f"avg(y) {TIMES.format('RANGE', 'INTERVAL 1 DAY')}",
    f"avg(y) {TIMES.format('RANGE', 'INTERVAL 1 DAYS 2 HOURS')}",
    """avg(y) {}""".format(TIMES.format("RANGE", "INTERVAL '1' DAY")),
    f"count(*) {PAST} + x",
    "'y' || x",
]
OWN_ROW = [
    "y",
    f"coalesce(y - lag(y) {PAST}, 0)",
    f"lag(y, 0) {PAST}",
    f"lag(y, 1 - 1) {PAST}",
    f"lag(x, 1, y) {PAST}",
    f"lag(y, 1, y) {PAST}",
    "row_number() OVER (PARTITION BY card ORDER BY y)",
    "lag(day) OVER (PARTITION BY card ORDER BY y)",
    f"CASE WHEN y > 2.5 THEN lag(x) {PAST} ELSE -1 END",
    f"sum(y) {PAST}",
    f"sum(y) {FRAME.format('ROWS', 0)}",
    f"sum(y) {FRAME.format('RANGE', 0)}",
    "sum(y) OVER (PARTITION BY card ORDER BY day ROWS 1 PRECEDING)",
    "sum(y) OVER (PARTITION BY card ORDER BY day ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
    f"sum(y) {TIMES.format('RANGE', 'INTERVAL 0 DAYS')}",
    "avg(y) OVER (PARTITION BY card)",
    "hash(struct(*))",
    "y || ' AND 1 PRECEDING lag('",
]
OTHERS = [
    f"lag(y, -1) {PAST}",
    f"lead(y) {PAST}",
    f"sum(y) FILTER (WHERE x > 1) {FRAME.format('ROWS', 1)}",
    f"lead(lag(y) {PAST}) {PAST}",
]


def reads_own_target(expression):
    return bool({"y", expressions.EVERYTHING} & expressions.own_names_in(expression))


@pytest.mark.parametrize("expression", LOOKING_BACK)
def test_the_target_may_stand_where_earlier_rows_alone_are_read(expression):
    assert not reads_own_target(expression)


@pytest.mark.parametrize("expression", OWN_ROW + OTHERS)
def test_what_reads_the_row_itself_or_is_not_understood_reads_the_target(expression):
    assert reads_own_target(expression)


@pytest.mark.spark
def test_a_row_changes_with_its_own_target_where_it_is_read_and_nowhere_else(spark):
    """Cards are equal, but that in card k the target of row k is another one."""
    days, changed = range(6), []
    for card in (-1, *days):
        changed += [(card, day, float(day % 3), 9.25 if day == card else day % 4 + 0.5) for day in days]
    rows = spark.createDataFrame(changed, "card int, day int, x double, y double")
    rows = rows.selectExpr("*", "timestamp_seconds(day * 86400) AS time").cache()
    written = [*LOOKING_BACK, *OWN_ROW]
    made = rows.selectExpr(
        "card AS _card", "day AS _day", *(f"{expression} AS e{at}" for at, expression in enumerate(written))
    )
    found = made.toPandas().set_index(["_card", "_day"])
    for at, expression in enumerate(written):
        value = found[f"e{at}"].astype(object).where(found[f"e{at}"].notna(), None)
        differs = [value[-1, day] != value[day, day] for day in days]
        if expression == "hash(struct(*))":  # the card is in it
            continue
        assert any(differs) == (expression in OWN_ROW), expression


@pytest.mark.parametrize(
    ("expression", "all_rows", "groups"),
    [
        ("avg(x) OVER ()", True, []),
        ("avg(x) OVER (PARTITION BY 1, 'a', coalesce(NULL, -2.5D))", True, []),
        ("avg(x) OVER (ORDER BY 1)", True, []),
        ("avg(x) OVER (ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)", True, []),
        ("avg(x) OVER (PARTITION BY true ORDER BY t DESC)", False, []),
        ("avg(x) OVER (PARTITION BY city, lower(name), `Odd one`)", False, [{"city", "odd one"}]),
        ("avg(x) OVER (PARTITION BY lower(city) ORDER BY date '2020-01-01' DESC)", False, [set()]),
        ("avg(x) OVER (DISTRIBUTE BY city SORT BY t)", False, []),
        ("x + count(over) + (a)[1]", False, []),
    ],
)
def test_a_window_that_is_read_from_end_to_end_reports_what_it_is_grouped_by(expression, all_rows, groups):
    assert expressions.reads_all_rows(expression) == all_rows
    assert list(expressions.groups_in(expression)) == groups

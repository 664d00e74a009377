"""Expressions of a recipe compare and compute; they run nothing, and give the same in every run."""

import pytest

from pipelines.expressions import refused_word


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

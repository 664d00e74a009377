"""A served model computes features as Spark does: each operator that it knows, on drawn rows, against Spark itself."""

import datetime
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, IntegerType, LongType, StringType, StructField, StructType, TimestampType

from millstream.pipelines.spark.arrow_pandas import to_pandas
from millstream.pipelines.spark.frames import in_arrow
from millstream.pipelines.sql.formulas import formula_of
from millstream.tracking.formulas.columns import column_of, computed

pytestmark = [pytest.mark.spark, pytest.mark.timeout(5000)]  # in full numbers more than the ten minutes of others

COLUMNS = StructType(
    [
        StructField("a", DoubleType()),
        StructField("b", DoubleType()),
        StructField("m", LongType()),
        StructField("n", LongType()),
        StructField("i", IntegerType()),
        StructField("s", StringType()),
        StructField("u", StringType()),
        StructField("t", TimestampType()),
    ]
)
NUMBERS = """
a + b; a - b; a * b; a / b; a % b; pmod(a, b); -a; +a; abs(a); m + n; m - n; m * n; m / n; m DIV n; m % n
pmod(m, n); -m; abs(m); i + 1; i * i; i - 7; i / 2; i DIV 2; i % 3; pmod(i, -3); m + i; a * m; a + i; a / 0
m % 0; i * 100000; m * 0.5; i * 1.25 + 0.75; m / 0.25; i - 0.5; -(i * 0.1); abs(i * 0.1); m * 1e-3; a * 0.5
i + 0.1BD; (i * 0.1) / (i * 0.3); sqrt(a); exp(a); exp(i); ln(a); log(a); log(2, a); log(a, b); log2(a)
log10(a); log1p(a); ln(m); log1p(m); log10(i); sign(a); floor(a); ceil(a); floor(m); floor(i * 0.1)
ceil(i * 0.1); round(a); round(a, 2); round(i * 0.125, 2); round(m); round(i, -1); greatest(a, b, i)
least(a, b); greatest(m, n); least(m, 3); greatest(s, u)
""".strip()
LOGIC = """
a = b; a <> b; a < b; a <= b; a > b; a >= b; a <=> b; m = n; m < a; m <=> n; s = u; s < u; s >= u; s <=> u
t > '2000-01-01'; a > 0 AND b > 0; a > 0 OR b > 0; NOT a > 0; a > 0 AND NOT (b > 0 OR m > 0); a BETWEEN 0 AND 1
m IN (1, 2, NULL); s IN ('a', 'b'); a IN (0.5, 1); a IS NULL; s IS NOT NULL; a IS NULL AND b IS NULL; isnan(a)
a > 0 IS TRUE; (a > 0) IS NOT FALSE; CASE WHEN a > 0 THEN 1 WHEN b > 0 THEN 2 END
CASE WHEN a > 0 THEN m ELSE 0.5 END; CASE s WHEN 'a' THEN 1 ELSE 0 END; if(a > b, a, b); if(m > 0, 'up', s)
coalesce(a, b, 0); coalesce(m, 0); ifnull(a, 1); nvl(m, n); nvl2(a, m, n); nullif(m, 0); coalesce(a / b, 0)
coalesce(s, 'none'); nanvl(a, 0); CASE WHEN b <> 0 THEN a / b ELSE 0 END; NULL; coalesce(NULL, m)
""".strip()
TEXTS = """
length(s); char_length(u); upper(s); lower(s); trim(s); ltrim(s); rtrim(s); trim(BOTH 'a ' FROM s); concat(s, u)
s || '-' || u; substring(s, 1, 2); substring(s, -2, 1); substring(s, 0, 2); substring(s, 2); substring(s, i, 2)
substring(s, -5, 3); left(s, 2); right(s, 2); replace(s, 'a', 'bb'); replace(s, ''); substring_index(s, 'a', 1)
substring_index(s, 'a', -1); substring_index(s, 'aa', 2); substring_index(s, ' ', -2)
substring_index(s, 'a', i % 5); instr(s, 'a'); contains(s, 'a'); startswith(s, u); endswith(s, u); CAST(m AS STRING)
CAST(a > 0 AS STRING); CAST(s AS INT); CAST(s AS BIGINT); CAST(s AS DOUBLE); CAST(u AS DOUBLE)
""".strip()
TIMES = """
year(t); month(t); day(t); dayofmonth(t); dayofyear(t); quarter(t); hour(t); minute(t); second(t); weekday(t)
dayofweek(t); CAST(weekday(t) >= 5 AS INT); datediff(t, '2018-04-01'); datediff('2018-04-01', t)
date_add(t, 3) > t; CAST(t AS BIGINT); CAST(t AS DOUBLE); unix_timestamp(t); unix_micros(t); unix_millis(t)
extract(HOUR FROM t); to_date(t) = CAST(t AS DATE); date_sub(t, i % 100) < '2000-01-01'; year(date_add(t, 400))
""".strip()
CASTS = """
CAST(a AS BIGINT); CAST(a AS INT); CAST(a AS SMALLINT); CAST(a AS TINYINT); CAST(a AS FLOAT); CAST(m AS INT)
CAST(m AS TINYINT); CAST(m AS DOUBLE); CAST(m AS FLOAT); CAST(i AS BOOLEAN); CAST(a AS BOOLEAN)
CAST(a > 0 AS INT); CAST(m AS DECIMAL(10, 2)); CAST(i * 0.75 AS INT); CAST(i * 0.75 AS BIGINT)
CAST(i * 0.75 AS DOUBLE); CAST(i * 0.75 AS DECIMAL(10, 1)); bigint(a); double(s); CAST(a AS FLOAT) * 3
CAST(a AS FLOAT) > b; round(CAST(a AS FLOAT), 1); CAST(i AS SMALLINT) + CAST(1 AS SMALLINT)
""".strip()
KNOWN = [one.strip() for part in (NUMBERS, LOGIC, TEXTS, TIMES, CASTS) for one in part.replace("\n", ";").split(";")]
UNKNOWN = ["sin(a)", "pow(a, 2)", "s LIKE 'a%'", "s RLIKE 'a'", "CAST(a AS STRING)", "xxhash64(s)", "CAST(s AS DATE)"]

special = [
    0.0,
    -0.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    1e-320,
    1e16,
    -1e16,
    9.3e18,
    1e300,
    math.inf,
    -math.inf,
    2.0**53 + 2,
    709.8,
    -745.2,
]
floats = st.one_of(st.none(), st.sampled_from(special), st.floats(-30, 30), st.floats(allow_nan=False))
longs = st.one_of(
    st.none(), st.sampled_from([0, 1, -1, 3, 2**53 + 1, 2**63 - 1, -(2**63)]), st.integers(-(2**63), 2**63 - 1)
)
ints = st.one_of(st.none(), st.integers(-200, 200), st.integers(-(2**31), 2**31 - 1))
written = st.sampled_from(
    [
        "",
        ".",
        "+",
        "-.5",
        " 12 ",
        "1e3",
        "1d",
        "0x1p3",
        "NaN",
        "-NaN",
        "inf",
        "-Infinity",
        "9223372036854775808",
        "12.9",
        "\u00a01",
    ]
)
texts = st.one_of(st.none(), st.text("aAb .\u00df\u00e9\u0130\U0001f600", max_size=6), written)
times = st.one_of(
    st.none(),
    st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9998, 12, 31), timezones=st.just(datetime.UTC)),
)
rows = st.lists(st.tuples(floats, floats, longs, longs, ints, texts, texts, times), min_size=150, max_size=250)


@pytest.fixture(scope="module")
def formulas(spark):
    frame = spark.createDataFrame([], COLUMNS)
    return {expression: formula_of(frame, expression, frame.columns) for expression in KNOWN}


def arrow(drawn):
    names = COLUMNS.names
    kinds = [
        pa.float64(),
        pa.float64(),
        pa.int64(),
        pa.int64(),
        pa.int32(),
        pa.string(),
        pa.string(),
        pa.timestamp("us", "UTC"),
    ]
    return pa.table([pa.array(one, kind) for one, kind in zip(zip(*drawn, strict=True), kinds, strict=True)], names)


def alike(one, other):
    if one is None or other is None:
        return one is other
    return (
        one == other and math.copysign(1, one) == math.copysign(1, other)
        if isinstance(one, float) and one == one
        else (one == other or (one != one and other != other))
    )


def test_formulas_compute_what_spark_computes(spark, formulas, soak, tmp_path):
    assert [expression for expression, one in formulas.items() if one is None] == []

    @settings(max_examples=30 if soak else 2, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(rows)
    def check(drawn):
        table = arrow(drawn)
        frame = in_arrow(spark.range(0, 1, 1, 1), lambda _: iter(table.to_batches()), COLUMNS)
        # decimals and dates as the cells hold them
        columns = [F.expr(expression).alias(f"c{at}") for at, expression in enumerate(formulas)]
        found = [list(row) for row in frame.select(*columns).collect()]
        served = to_pandas(table)
        wrong = []
        for at, (expression, one) in enumerate(formulas.items()):
            cells = computed(one, served)
            got = column_of(cells, one.type)
            for row, (drawn_row, values) in enumerate(zip(drawn, found, strict=True)):
                value = None if not cells.known[row] else cells.values[row]
                value = value.item() if isinstance(value, np.generic) else value
                expected = values[at]
                if expected is not None and one.type.startswith("decimal"):
                    expected = int(expected.scaleb(-expected.as_tuple().exponent))
                if not alike(value, expected):
                    wrong.append((expression, drawn_row, value, expected))
            assert len(got) == len(drawn)
        assert not wrong, (len(wrong), sorted({one[0] for one in wrong}), wrong[:10])

    check()


@pytest.mark.parametrize("expression", UNKNOWN)
def test_what_is_not_known_to_be_the_same_is_no_formula(spark, expression):
    frame = spark.createDataFrame([], COLUMNS)
    assert formula_of(frame, expression, frame.columns) is None


def test_other_rows_and_other_columns_are_no_formula(spark):
    frame = spark.createDataFrame([], COLUMNS)
    assert formula_of(frame, "a + lag(b) OVER (PARTITION BY s ORDER BY t)", frame.columns) is None
    assert formula_of(frame, "a + b", ["a"]) is None

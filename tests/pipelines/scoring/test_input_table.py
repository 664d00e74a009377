"""A table to score is read as `prepare` reads it: whatever is accepted there is here, with the same values."""

from __future__ import annotations

import csv
import io
import json
import os
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import orc

from millstream.pipelines.scoring import input_table
from millstream.pipelines.scoring.layout import Files, Reading
from millstream.pipelines.sources.table import Table
from millstream.pipelines.spark import caching
from millstream.tracking.errors import BadData
from millstream.tracking.recipe.loader import load
from tests.pipelines.described import described

pytestmark = [pytest.mark.spark, pytest.mark.timeout(5000)]  # in full numbers more than the ten minutes of others
COLUMNS = {
    "k": {"type": "string", "role": "key"},
    "x": {"type": "double", "nullable": True},
    "n": {"type": "long", "nullable": True},
    "word": {"type": "string", "nullable": True, "strip": ". "},
    "y": {"type": "string", "role": "target"},
}
INPUTS = ("x", "n", "word")
WORDS = st.text(st.characters(codec="latin-1", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), max_size=6)
ROWS = st.lists(
    st.tuples(
        st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | WORDS,
    ),
    min_size=1,
    max_size=6,
)
LAYOUTS = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from([",", ";", "|", "\t"]),
        "null": st.sampled_from(["", "?", "NA", "-999"]),
        "encoding": st.sampled_from(["utf-8", "latin-1"]),
        "decimal": st.sampled_from([".", ","]),
        "header": st.booleans(),
    }
).filter(lambda layout: layout["decimal"] != layout["delimiter"])
EXAMPLES = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def source_of(path, **fields):
    return Table(files=[{"name": path.name}], **{"columns": COLUMNS, "key": "k", **fields})


def prepared(spark, path, source):
    """What `prepare` reads, by key, and how many rows it quarantines."""
    with caching.released():
        table = source.read(spark, {path.name: path}, 0)
        rows = table.frame.select("sample_id", *INPUTS).collect()
        return {row[0]: tuple(row)[1:] for row in rows}, 0 if table.refused is None else table.refused.count()


def scored(spark, path, source, inputs=INPUTS, **options):
    """What a model of that source reads, by key."""
    table = input_table.read(spark, Files.of(str(path), path), Reading.of(described(source, inputs, **options)))
    key = f"c{table.names.index('k')}"
    rows = [tuple(row) for row in table.frame.select(key, *(table.inputs[name] for name in inputs)).collect()]
    keys, *columns = zip(*rows, strict=True) if rows else ((),)
    columns = [
        table.forms[name].applied(pa.array(column, pa.string())).to_pylist() if name in table.forms else column
        for name, column in zip(inputs, columns, strict=bool(rows))
    ]
    return {str(name): values for name, values in zip(keys, zip(*columns, strict=True), strict=True)}


def compare(spark, path, source):
    """Both read the same; where `prepare` puts rows aside, `score` refuses the table."""
    try:
        rows, refused = prepared(spark, path, source)
    except BadData:  # no row at all is good
        rows, refused = {}, 1
    if refused:
        with pytest.raises(BadData, match=path.name):
            scored(spark, path, source)
        return None
    assert scored(spark, path, source) == rows
    return rows


def written(value, layout):
    if value is None:
        return layout["null"]
    return repr(value).replace(".", layout["decimal"]) if isinstance(value, float) else str(value)


def test_csv_of_any_layout(spark, tmp_path, soak):
    @settings(EXAMPLES, max_examples=200 if soak else 4)
    @given(rows=ROWS, layout=LAYOUTS)
    def holds(rows, layout):
        text = io.StringIO()
        writer = csv.writer(text, delimiter=layout["delimiter"], lineterminator="\n")
        if layout["header"]:
            writer.writerow(COLUMNS)
        for at, row in enumerate(rows):
            writer.writerow([f"k{at}", *(written(value, layout) for value in row), "yes"])
        path = tmp_path / "in.csv"
        path.write_text(text.getvalue(), encoding=layout["encoding"])
        found = compare(spark, path, source_of(path, **layout))
        if found is not None:  # what was written is what is read
            for at, (x, n, _) in enumerate(rows):
                gone = layout["null"]
                assert found[f"k{at}"][0] == (None if written(x, layout) == gone else x)
                assert found[f"k{at}"][1] == (None if written(n, layout) == gone else n)

    holds()


def test_json_lines_of_any_values(spark, tmp_path, soak):
    odd = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(-1e9, 1e9), WORDS)

    @settings(EXAMPLES, max_examples=200 if soak else 4)
    @given(rows=st.lists(st.tuples(odd, odd, odd), min_size=1, max_size=5) | ROWS)
    def holds(rows):
        path = tmp_path / "in.jsonl"
        lines = [{"k": f"k{at}", **dict(zip(INPUTS, row, strict=True)), "y": "no"} for at, row in enumerate(rows)]
        path.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
        compare(spark, path, source_of(path, format="jsonl"))

    holds()


WORD = pa.dictionary(pa.int8(), pa.string())
KINDS = {
    "x": [pa.float64(), pa.float32(), pa.int32(), pa.bool_(), pa.decimal128(12, 2), pa.uint8(), pa.string()],
    "n": [pa.int64(), pa.int16(), pa.uint64(), pa.bool_(), pa.float64(), pa.decimal128(18, 0), pa.string()],
    "word": [
        pa.string(),
        pa.large_string(),
        pa.int64(),
        pa.bool_(),
        pa.binary(),
        pa.dictionary(pa.int8(), pa.string()),
    ],
}


def values_of(kind):
    if pa.types.is_boolean(kind):
        return st.booleans()
    if pa.types.is_decimal(kind):
        return st.integers(-(10**9), 10**9).map(lambda value: Decimal(value) / (10**kind.scale))
    if pa.types.is_integer(kind):
        bits = kind.bit_width
        signed = pa.types.is_signed_integer(kind)
        return st.integers(-(2 ** (bits - 1)) if signed else 0, 2 ** (bits - 1) - 1 if signed else 2**bits - 1)
    if pa.types.is_floating(kind):
        return st.floats(-1e6, 1e6, width=32) | st.integers(-9, 9).map(float)
    if pa.types.is_binary(kind):
        return WORDS.map(lambda word: word.encode()) | st.binary(max_size=3)
    return WORDS | st.sampled_from(["1", "-2.5", "x", " 7 "])


@st.composite
def typed_tables(draw):
    count, columns = draw(st.integers(1, 5)), {}
    for name, kinds in KINDS.items():
        kind = draw(st.sampled_from(kinds))
        values = draw(st.lists(st.none() | values_of(kind), min_size=count, max_size=count))
        columns[name] = pa.array(values, kind)
    return pa.table({"k": [f"k{at}" for at in range(count)], **columns, "y": ["yes"] * count})


@pytest.mark.parametrize("kind", ["parquet", "orc"])
def test_typed_tables_of_any_types(spark, tmp_path, soak, kind):
    @settings(EXAMPLES, max_examples=200 if soak else 4)
    @given(table=typed_tables())
    def holds(table):
        path = tmp_path / f"in.{kind}"
        for at, field in enumerate(table.schema if kind == "orc" else ()):  # ORC has fewer types
            if pa.types.is_dictionary(field.type):
                table = table.set_column(at, field.name, table.column(at).cast(pa.string()))
            elif pa.types.is_unsigned_integer(field.type):
                table = table.set_column(at, field.name, table.column(at).cast(pa.decimal128(20, 0)))
        {"orc": orc.write_table, "parquet": pq.write_table}[kind](table, path)
        compare(spark, path, source_of(path, format=kind))

    holds()


def test_a_file_without_header_has_the_columns_of_the_source(spark, tmp_path):
    path = tmp_path / "in.data"
    source = source_of(path, header=False, null="?")
    expected = {"a": (1.5, 7, "St"), "b": (None, None, None)}
    path.write_text("a, 1.5, 7, St., yes\nb, ?, ?, ?, no.\n")
    assert scored(spark, path, source) == expected
    path.write_text("a,1.5,7,St.\nb,?,?,?\n")  # the target is what one wants to know
    assert scored(spark, path, source) == expected
    path.write_text("word,k,n,x\nSt.,a,7,1.5\n?,b,?,?\n")  # a header may stand there
    assert scored(spark, path, source) == expected
    path.write_text("a,1.5\n")
    with pytest.raises(BadData, match=r"in\.data:1: 2 values in its first row; expected 5"):
        scored(spark, path, source)


def test_columns_that_no_model_needs_stay_as_they_stand(spark, tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("x,n,word,y,k,zip,id,note\n1,2,a,yes,k0,01067,1234567890123456789,7\n2,3,b,,k1,4109,1,x\n")
    columns = {**COLUMNS, "y": {"type": "double", "role": "target"}}
    source = source_of(path, columns=columns)
    table = input_table.read(spark, Files.of("in.csv", path), Reading.of(described(source, INPUTS)))
    rows = table.frame.toDF(*table.names).orderBy("k").collect()
    others = ("y", "zip", "id", "note")
    # the target is no number in all rows, 01067 is no 1067, and 19 digits may be no int64
    assert [tuple(row[name] for name in others) for row in rows] == [
        ("yes", "01067", "1234567890123456789", "7"),
        (None, "4109", "1", "x"),
    ]


def test_a_column_that_a_step_fills_may_be_absent(spark, tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("k,n\na,1\n")
    source = source_of(path)
    assert scored(spark, path, source, filled=["x"]) == {"a": (None, 1, None)}
    with pytest.raises(BadData, match=r"in\.csv: no columns \['x'\]; the model takes"):
        scored(spark, path, source)


@pytest.mark.bad_input
def test_rows_that_prepare_would_quarantine_are_counted_by_column(spark, tmp_path):
    path = tmp_path / "in.csv"
    columns = {"k": COLUMNS["k"], "x": {"type": "double"}, "n": {"type": "long"}, "word": COLUMNS["word"]}
    path.write_text("k,x,n,word\na,much,1,a\nb,inf,2,a\nc,3,,a\nd,more,4,a\ne,5\n")
    with pytest.raises(BadData) as refused:
        scored(spark, path, source_of(path, columns=columns))
    assert [(fault.where, fault.message) for fault in refused.value.faults] == [
        (str(path), "line 6 a value is of another type, or values are missing: 'e,5' (1 such row)"),
        (str(path), "column 'x' is no number in line 2: 'much' (3 such rows)"),
        (str(path), "column 'n' is missing in line 4 (1 such row)"),
    ]


@pytest.mark.bad_input
def test_lists_structures_and_maps_are_no_inputs(spark, tmp_path):
    kinds = {
        "x": pa.array([[1.0]]),
        "n": pa.array([{"a": 1}]),
        "word": pa.array([[("a", "b")]], pa.map_("string", "string")),
    }
    path = tmp_path / "in.parquet"
    for name, values in kinds.items():
        table = {"k": ["a"], "x": [1.0], "n": [1], "word": ["a"], "y": ["yes"], name: values}
        pq.write_table(pa.table(table), path)
        source = source_of(path, format="parquet")
        for reader in (prepared, scored):
            with pytest.raises(BadData, match=rf"column '{name}' is (array|struct|map)<.+, which is read as no"):
                reader(spark, path, source)
    path = tmp_path / "in.jsonl"
    path.write_text(
        '{"k": "a", "x": 1, "n": 1, "word": ["a"], "y": "no"}\n{"k": "b", "x": 1, "n": 1, "word": "[b]", "y": "no"}'
    )
    source = source_of(path, format="jsonl")
    assert prepared(spark, path, source) == ({"b": (1.0, 1, "[b]")}, 1)
    with pytest.raises(BadData, match=r"line 1 word is a list or an object"):
        scored(spark, path, source)


def test_folders_called_after_values_are_columns_of_texts(spark, tmp_path):
    for zip_code in ("01067", "4109"):
        (tmp_path / "in" / f"zip={zip_code}").mkdir(parents=True)
        table = pa.table({"k": [zip_code], "x": [1.0], "n": [1], "word": ["a"]})
        pq.write_table(table, tmp_path / "in" / f"zip={zip_code}" / "part-0.parquet")
    source = source_of(tmp_path / "in", format="parquet")
    table = input_table.read(spark, Files.of("in", tmp_path / "in"), Reading.of(described(source, INPUTS)))
    rows = table.frame.toDF(*table.names, *table.frame.columns[len(table.names) :]).collect()
    assert {(row["k"], row["zip"]) for row in rows} == {("01067", "01067"), ("4109", "4109")}


@pytest.mark.mirror
def test_the_origin_of_adult_is_a_table_to_score(spark):
    """No header, `?` for what is missing, a dot behind each income of one of the files."""
    path = Path(os.environ["MILLSTREAM_MIRROR"]) / "adult" / "adult-test.csv"
    source = Table.model_validate(
        {name: value for name, value in load("mlp/adult").sections["data"]["source"].items() if name != "name"}
    )
    inputs = [name for name, column in source.columns.items() if column.role == "input"]
    table = input_table.read(spark, Files.of(str(path), path), Reading.of(described(source, inputs)))
    rows = table.frame.toDF(*table.names)
    lines = [line.split(", ") for line in path.read_text().splitlines() if line.strip()]
    assert rows.count() == len(lines) == 16281
    missing = sum(line[1] == "?" for line in lines)
    assert rows.where("workclass IS NULL").count() == missing > 0
    assert {row[0] for row in rows.select("income").distinct().collect()} == {"<=50K", ">50K"}

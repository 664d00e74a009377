"""Tables as they come: each is refused with its place and what was expected, or its bad rows are quarantined."""

import csv
import gzip
import io
import os

import pyarrow.parquet as pq
import pytest
import yaml

from millstream.pipelines import prepare
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData
from millstream.tracking.recipe.loader import load
from millstream.tracking.verification.verify import verify

pytestmark = [pytest.mark.spark, pytest.mark.bad_input]
COLUMNS = {
    "id": {"type": "long", "role": "key"},
    "wind": {"type": "double"},
    "label": {"type": "string", "role": "target"},
}
STEPS = [{"split": {"by": "hash", "test": 0.2}}, {"encode": {"columns": ["label"]}}]
STRATIFIED = [{"split": {"by": "stratified", "test": 0.2}}, *STEPS[1:]]
SCALE = {"scale": {"columns": "numbers", "method": "standard"}}
HEADER = "id,wind,label\n"
GOOD = HEADER + "".join(f"{at},{at / 2},{'ab'[at % 2]}\n" for at in range(40))


def raw(content):
    return content if isinstance(content, bytes) else content.encode()


def prepared(folder, settings, content, steps=STEPS, name="rows.csv", **fields):
    (folder / name).write_bytes(raw(content))
    source = {"name": "table", "files": [{"name": str(folder / name)}], "columns": COLUMNS, "key": "id", **fields}
    file = folder / "mine.yaml"
    file.write_text(
        yaml.safe_dump({"about": "a test", "data": {"name": "mine", "source": source, "steps": steps}}, sort_keys=False)
    )
    made = prepare.prepare(load(str(file)), settings, say=lambda message: None)
    dataset = Dataset.open(made.path, settings.store)
    assert verify(dataset) == []
    return dataset


REFUSED = {
    "no header": (GOOD.removeprefix(HEADER), {}, r"rows\.csv:1.*\['id', 'wind', 'label'\] are missing"),
    "another delimiter": (GOOD.replace(",", ";"), {}, "is the delimiter ',' right"),
    "an empty file": ("", {}, r"rows\.csv: empty"),
    "a header alone": (HEADER, {}, "only a header"),
    "a header and blank lines": (HEADER + "\n \n", {}, "only a header"),
    "a column twice in the header": ("id,wind,label,wind\n1,1,a,2\n", {}, r"rows\.csv:1.*comes twice"),
    "a header that is no utf-8": ("id,wind,label\xe9\n1,1,a\n".encode("latin-1"), {}, "not UTF-8"),
    "utf-16": (GOOD.encode("utf-16"), {}, r"rows\.csv:1: not UTF-8"),
    "a file of another kind": (b"PAR1" + bytes(range(256)), {}, r"rows\.csv:1"),
    "a column without any value": (
        HEADER + "".join(f"{at},,a\n" for at in range(9)),
        {},
        r"line 2 of rows\.csv: wind is missing",
    ),
    "decimal commas": (HEADER + "".join(f'{at},"{at},5",a\n' for at in range(9)), {}, "no row fits.*line 2"),
    "ids that come again": (
        GOOD + "7,1.0,a\n7,2.0,b\n",
        {},
        "rows share an id; give the source a key",
    ),
    "an archive that is cut": (
        gzip.compress(GOOD.encode())[:-20],
        {"name": "rows.csv.gz"},
        "cannot be read to its end",
    ),
    "an archive that is none": (GOOD, {"name": "rows.csv.gz"}, "cannot be read to its end"),
    "one class alone": (GOOD.replace(",b\n", ",a\n"), {}, "one class alone, 'a'"),
    "a class of one row": (GOOD + "90,1.0,c\n", {"steps": STRATIFIED}, "'c': fewer than 2 rows"),
    "too few rows for a split": (HEADER + "1,1,a\n2,2,b\n", {"steps": [STEPS[0]]}, "no row is left for test"),
    "classes that train does not have": (
        HEADER + "".join(f"{at},1,c{at}\n" for at in range(40)),
        {},
        "no row is left for test",
    ),
    "a column that is the same everywhere": (
        HEADER + "".join(f"{at},1.5,{'ab'[at % 2]}\n" for at in range(40)),
        {"steps": [*STEPS, SCALE]},
        r"wind: 1\.5 in every train row",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_table_that_does_not_fit_is_refused_and_nothing_is_written(spark, tmp_path, settings, case):
    content, fields, message = REFUSED[case]
    with pytest.raises(BadData, match=message):
        prepared(tmp_path, settings, content, **fields)
    left = [path for path in (settings.home / "datasets").rglob("*") if path.is_file()]
    assert left == []


MISFIT = "a value is of another type, or values are missing"
ASIDE = {
    "a ragged row": ("80,1.0", MISFIT),
    "a value too many": ("80,1.0,a,2020-01-01,more", MISFIT),
    "more values than Spark reads": ("80,1.0,a" + "," * 30_000, "has other than 4 values"),
    "a NUL byte": ("80,1.0,a\0b,2020-01-01", "holds a NUL byte"),
    "no utf-8": (b"80,1.0,\xe4,2020-01-01", "is not UTF-8"),
    "infinity": ("80,Infinity,a,2020-01-01", "wind is not finite"),
    "a number beyond all": ("80,1e400,a,2020-01-01", "wind is not finite"),
    "no number": ("80,NaN,a,2020-01-01", "wind is not finite"),
    "a number as Java writes it": ("80,12d,a,2020-01-01", "wind is no number"),
    "a whole number beyond all": ("99999999999999999999,1.0,a,2020-01-01", "id is no whole number"),
    "a fraction for a whole number": ("80.0,1.0,a,2020-01-01", "id is no whole number"),
    "a decimal comma": ('80,"1,5",a,2020-01-01', "wind is no number"),
    "a space between thousands": ("80,1 000,a,2020-01-01", "wind is no number"),
    "a quote that is not closed": ('80,1.0,"a,2020-01-01', "a quote is not closed"),
    "a missing id": (",1.0,a,2020-01-01", "id is missing"),
    "a missing label": ("80,1.0,,2020-01-01", "label is missing"),
    "a label that was not declared": ("80,1.0,z,2020-01-01", "label is none of the declared classes"),
    "a cell of 10,000 letters": (f"80,1.0,{'a' * 10_000},2020-01-01", "label is none of the declared classes"),
    "a date in another form": ("80,1.0,a,31.01.2020", "at is no time of the form ISO"),
    "a day that is none": ("80,1.0,a,2020-02-30", "at is no time of the form ISO"),
    "a year that is none": ("80,1.0,a,0000-01-01", "at is not in the years 1 to 9999"),
}


def test_each_row_that_does_not_fit_is_quarantined_with_its_line_and_reason(spark, tmp_path, settings):
    columns = {
        "id": COLUMNS["id"] | {"nullable": True},
        "wind": COLUMNS["wind"],
        "label": {**COLUMNS["label"], "classes": ["a", "b", "a\0b"]},
        "at": {"type": "timestamp"},
    }
    good = "".join(f"{at},{at / 2},{'ab'[at % 2]},1492-10-12 00:00:{at:02}\n" for at in range(40))
    lines = [raw(line) for line, _ in ASIDE.values()]
    content = b"\n".join([b"id,wind,label,at", *raw(good).splitlines(), *lines])
    dataset = prepared(tmp_path, settings, content, columns=columns)
    kept = pq.read_table(dataset.folder / "quarantine").to_pylist()
    reasons = {row["sample_id"]: row["reason"] for row in kept}
    assert reasons == {f"rows.csv:{42 + at}": reason for at, (_, reason) in enumerate(ASIDE.values())}
    assert sum(split.rows for split in dataset.manifest.splits.values()) == 40
    reasons = [reason for _, reason in ASIDE.values()]
    assert dataset.manifest.quarantine == {reason: reasons.count(reason) for reason in sorted(reasons)}


TEXTS = ['say "hi"', "a,b", '"quoted"', "back\\slash", "\\", '""', 'x"y', "it's", "#no comment", "NULL", "été", "🙂"]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"], ids=["unix", "windows", "mac"])
def test_texts_are_read_as_other_programs_write_them(spark, tmp_path, ends):
    from millstream.pipelines.sources.table import Table

    out = io.StringIO()
    rows = [(at, at / 2, text) for at, text in enumerate(TEXTS)]
    csv.writer(out, lineterminator=ends).writerows([COLUMNS, *rows])
    (tmp_path / "rows.csv").write_bytes(b"\xef\xbb\xbf" + out.getvalue().encode())
    source = Table(files=[{"name": "rows.csv"}], columns=COLUMNS, key="id")
    table = source.read(spark, {"rows.csv": tmp_path / "rows.csv"}, 0)
    assert [tuple(row)[:3] for row in table.frame.select("id", "wind", "label").orderBy("id").collect()] == rows


ODD = "a.b'`🙂\"; DROP TABLE x --"
WILD = "${env:HOME} $(touch owned) <b>x</b>"
WAYS = {
    "plain": [SCALE],
    "looked at": [
        {"validate": {"required": [ODD], "unique": ["id", ODD]}},
        {"validate": {"rules": {"a rule '`": f"`{ODD.replace('`', '``')}` > -99"}}},
        {"deduplicate": {"by": "exact"}},
    ],
    "balanced": [{"encode": {"columns": [WILD]}}, {"rebalance": {"method": "smote"}}],
    "augmented": [{"encode": {"columns": [WILD], "method": "onehot"}}, {"augment": {"ops": [{"noise": 0.1}]}}],
    "rolled": [
        {"rolling": {"entity": WILD, "time": "at", "value": ODD, "days": [1], "count": "n`.{days}", "mean": "m{days}"}}
    ],
}


@pytest.mark.security
@pytest.mark.parametrize("way", WAYS)
def test_names_and_values_are_data_whatever_is_in_them(spark, tmp_path, settings, monkeypatch, way):
    monkeypatch.chdir(tmp_path)
    columns = {"id": COLUMNS["id"], ODD: COLUMNS["wind"], WILD: {"type": "string"}, "at": {"type": "timestamp"}}
    columns["label"] = {**COLUMNS["label"], "strip": ". "}
    out = io.StringIO()
    values = [
        (
            at,
            at / 2,
            ["'); --", "<i>", "${x}"][at % 3],
            f"2020-01-{1 + at % 28:02d}",
            f"{'abb'[at % 3]}{'. ' * (at % 2)}",
        )
        for at in range(60)
    ]
    csv.writer(out).writerows([columns, *values])
    split = {"split": {"by": "hash", "test": 0.2}}
    before = [step for step in WAYS[way] if next(iter(step)) in ("validate", "deduplicate", "rolling")]
    after = [step for step in WAYS[way] if step not in before]
    steps = [*before, split, {"encode": {"columns": ["label"]}}, *after]
    dataset = prepared(tmp_path, settings, out.getvalue(), columns=columns, steps=steps)
    assert dataset.manifest.column("label").classes == ("a", "b")
    assert {ODD, WILD} <= {column.name for column in dataset.manifest.columns}
    assert os.environ["HOME"] not in dataset.manifest.text().replace(str(tmp_path), "")
    assert not (tmp_path / "owned").exists()

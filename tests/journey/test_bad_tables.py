"""Tables as they come: each is refused with its place and what was expected, or its bad rows are put aside."""

import pyarrow.parquet as pq
import pytest
import yaml

from pipelines import prepare
from tracking import recipe
from tracking.dataset import Dataset
from tracking.faults import BadData

pytestmark = [pytest.mark.spark, pytest.mark.bad_input]
COLUMNS = {
    "id": {"type": "long", "role": "key"},
    "wind": {"type": "double"},
    "label": {"type": "string", "role": "target"},
}
STEPS = [{"split": {"by": "hash", "test": 0.2}}, {"encode": {"columns": ["label"]}}]
SCALE = {"scale": {"columns": "numbers", "method": "standard"}}
HEADER = "id,wind,label\n"
GOOD = HEADER + "".join(f"{at},{at / 2},{'ab'[at % 2]}\n" for at in range(40))


def prepared(folder, settings, content, steps=STEPS, **fields):
    data = content if isinstance(content, bytes) else content.encode()
    (folder / "rows.csv").write_bytes(data)
    source = {"name": "table", "files": [{"name": str(folder / "rows.csv")}], "columns": COLUMNS, "key": "id", **fields}
    file = folder / "mine.yaml"
    file.write_text(
        yaml.safe_dump({"about": "a test", "data": {"name": "mine", "source": source, "steps": steps}}, sort_keys=False)
    )
    made = prepare.prepare(recipe.load(str(file)), settings, say=lambda told: None)
    return Dataset.open(made.path, settings.store)


REFUSED = {
    "no header": (GOOD.removeprefix(HEADER), {}, r"rows\.csv:1.*\['id', 'wind', 'label'\] are missing"),
    "another delimiter": (GOOD.replace(",", ";"), {}, "is the delimiter ',' right"),
    "an empty file": ("", {}, r"rows\.csv: empty"),
    "a header alone": (HEADER, {}, "only a header"),
    "a header that is no utf-8": ("id,wind,label\xe9\n1,1,a\n".encode("latin-1"), {}, "not UTF-8"),
    "a column without any value": (HEADER + "".join(f"{at},,a\n" for at in range(9)), {}, "line 2: wind is missing"),
    "decimal commas": (HEADER + "".join(f'{at},"{at},5",a\n' for at in range(9)), {}, "no row fits.*line 2"),
    "ids that come again": (GOOD + "7,1.0,a\n7,2.0,b\n", {}, "7|ids"),
    "one class alone": (GOOD.replace(",b\n", ",a\n"), {}, "one class alone, 'a'"),
    "a class of one row": (
        GOOD + "90,1.0,c\n",
        {"steps": [{"split": {"by": "stratified", "test": 0.2}}, *STEPS[1:]]},
        "'c': fewer than 2 rows",
    ),
    "a column that is the same everywhere": (
        HEADER + "".join(f"{at},1.5,{'ab'[at % 2]}\n" for at in range(40)),
        {"steps": [*STEPS, SCALE]},
        r"wind: 1\.5 in every train row",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_table_that_does_not_fit_is_refused_and_nothing_is_written(spark, tmp_path, settings, case):
    content, fields, told = REFUSED[case]
    with pytest.raises(BadData, match=told):
        prepared(tmp_path, settings, content, **fields)
    left = [path for path in (settings.home / "datasets").rglob("*") if path.is_file()]
    assert left == []


ASIDE = {
    "a ragged row": ("80,1.0\n", "a value is of another type, or values are missing"),
    "a NUL byte": ("80,1.0,a\0b\n", "holds a NUL byte"),
    "no utf-8": (b"80,1.0,\xe4\n", "is not UTF-8"),
    "infinity": ("80,Infinity,a\n", "wind is not finite"),
    "a number beyond all": ("80,1e400,a\n", "wind is not finite"),
    "no number": ("80,NaN,a\n", "wind is not finite"),
    "a whole number beyond all": ("99999999999999999999,1.0,a\n", "a value is of another type, or values are missing"),
    "a decimal comma": ('80,"1,5",a\n', "a value is of another type, or values are missing"),
    "a missing label": ("80,1.0,\n", "label is missing"),
    "a label that was not declared": ("80,1.0,z\n", "label is none of the declared classes"),
}


@pytest.mark.parametrize("case", ASIDE)
def test_a_row_that_does_not_fit_is_counted_with_its_reason(spark, tmp_path, settings, case):
    line, reason = ASIDE[case]
    columns = {**COLUMNS, "label": {**COLUMNS["label"], "classes": ["a", "b", "a\0b"]}}
    raw = line if isinstance(line, bytes) else line.encode()
    dataset = prepared(tmp_path, settings, GOOD.encode() + raw, columns=columns)
    assert dataset.manifest.quarantine == {reason: 1}
    assert sum(split.rows for split in dataset.manifest.splits.values()) == 40
    kept = pq.read_table(dataset.folder / "quarantine").to_pylist()
    assert [(row["sample_id"], row["reason"]) for row in kept] == [("rows.csv:42", reason)]


def test_odd_names_long_cells_and_stray_dots_are_taken_as_they_are(spark, tmp_path, settings):
    odd = "a.b'`🙂"
    columns = {"id": COLUMNS["id"], odd: {"type": "double"}, "text": {"type": "string", "role": "key"}}
    columns["label"] = {**COLUMNS["label"], "strip": ". "}
    lines = "".join(f"{at},{at / 2},{'x' * 10_000},{'ab'[at % 2]}{'. ' * (at % 3)}\n" for at in range(30))
    content = b"\xef\xbb\xbf" + f"id,{odd},text,label\n{lines}".encode()
    dataset = prepared(tmp_path, settings, content, columns=columns, steps=[*STEPS, SCALE])
    assert dataset.manifest.column("label").classes == ("a", "b")
    assert [step.learned.keys() for step in dataset.manifest.steps][-1] == {odd}
    assert sum(split.rows for split in dataset.manifest.splits.values()) == 30

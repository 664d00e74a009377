"""`check` looks at a sample of the data: what would stop a run is found before Spark is started."""

import pytest
from PIL import Image

from millstream.pipelines.raw_data import look
from millstream.tracking.recipe.loader import catalogue, load

RECIPE = """
about: Will a customer leave?
data:
  name: customers
  source:
    name: table
    files: [{name: it.csv}]
    columns:
      age: {type: long}
      spent: {type: double, number: {prefix: "$", thousands: ","}, nullable: true}
      seen: {type: timestamp, form: d.M.yyyy}
      left: {type: string, role: target}
  steps:
    - split: {by: stratified, valid: 0.1, test: 0.2}
    - impute: {columns: [spent], method: median}
    - encode: {columns: categories}
task: {name: classify, target: left}
network: {name: mlp/mlp}
fit: {seed: 1}
"""
HEADER = "age,spent,seen,left\n"
GOOD = "".join(
    f'{20 + at},"${at},{at:03d}.50",{1 + at % 28}.3.2020,{"yes" if at % 3 else "no"}\n' for at in range(1, 31)
)


def looked(folder, patch, settings, content=HEADER + GOOD, *changes):
    patch.chdir(folder)
    if content is not None:
        (folder / "it.csv").write_text(content)
    text = RECIPE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "it.yaml").write_text(text)
    found = look(load("it.yaml"), settings)
    return [str(one) for one in found.faults], [str(one) for one in found.doubts]


def test_data_that_fit_have_neither_faults_nor_doubts(tmp_path, monkeypatch, settings):
    assert looked(tmp_path, monkeypatch, settings) == ([], [])


FAULTS = {
    "no file": (None, (), "it.yaml:7: data.source: it.csv: not found in"),
    "no such column": (
        HEADER.replace("left", "lft") + GOOD,
        (),
        "it.yaml:12: data.source.columns: it.csv has no column 'left'; did you mean 'lft'",
    ),
    "another delimiter": (
        (HEADER + GOOD).replace(",", ";"),
        (),
        "data.source.delimiter: ',', and it.csv seems to have ';'",
    ),
    "a header only": (HEADER, (), "no row, only a header"),
    "numbers that are words": (
        HEADER + GOOD,
        (("left: {type: string", "left: {type: double"),),
        "left: 'yes' is no number (line 2; 30 of 30 rows looked at): no row is left",
    ),
    "missing numbers": (
        HEADER + GOOD + "9,,1.1.2020,no\n",
        (("[spent]", "[age]"),),
        "spent: is missing in 1 of 31 rows looked at (the first is line 32), and no step fills it in",
    ),
    "one class": (HEADER + GOOD.replace("yes", "no"), (), "left is 'no' in every row"),
    "a class of one row": (
        HEADER + GOOD + "9,,1.1.2020,maybe\n",
        (),
        "left 'maybe' has 1 rows (1 such classes), too few for each split",
    ),
    "an empty file": ("", (), "is empty"),
}


@pytest.mark.bad_input
@pytest.mark.parametrize("case", FAULTS)
def test_what_would_stop_a_run_is_a_fault(tmp_path, monkeypatch, settings, case):
    content, changes, message = FAULTS[case]
    faults, _ = looked(tmp_path, monkeypatch, settings, content, *changes)
    assert len(faults) >= 1
    assert message in faults[0]


DOUBTS = {
    "no number": ("old,$1,1.1.2020,no", "age: 'old' is no whole number (line 32; 1 of 31 rows looked at)"),
    "no money": ('9,"$1,5",1.1.2020,no', "spent: '$1,5' is no number (line 32;"),
    "no date": ("9,$1,2020-01-01,no", "seen: '2020-01-01' is no time of the form d.M.yyyy (line 32;"),
    "missing": (",$1,1.1.2020,no", "age: is missing (line 32;"),
    "too short": ("9,$1", "1 rows have another number of values than the header (line 32: 2 values)"),
}


@pytest.mark.bad_input
@pytest.mark.parametrize("case", DOUBTS)
def test_rows_that_would_be_quarantined_are_doubts_with_column_value_line_and_count(
    tmp_path, monkeypatch, settings, case
):
    line, message = DOUBTS[case]
    faults, doubts = looked(tmp_path, monkeypatch, settings, f"{HEADER}{GOOD}{line}\n")
    assert faults == []
    assert len(doubts) == 1
    assert message in doubts[0]


@pytest.mark.parametrize("step", ["validate: {required: [spent]}", "filter: {keep: spent IS NOT NULL}"])
def test_missing_numbers_that_a_step_takes_out_are_no_fault(tmp_path, monkeypatch, settings, step):
    content = HEADER + GOOD + "9,,1.1.2020,no\n"
    faults, _ = looked(
        tmp_path, monkeypatch, settings, content, ("[spent]", "[age]"), ("  steps:\n", f"  steps:\n    - {step}\n")
    )
    assert faults == []


def test_a_file_that_would_be_fetched_and_one_at_a_url_are_not_looked_for(tmp_path, monkeypatch, settings):
    remote = ("{name: it.csv}", "{name: 's3://nowhere/it.csv'}")
    fetched = ("{name: it.csv}", f"{{name: it.csv, url: 'https://example.org/it.csv', sha256: {'0' * 64}}}")
    for change in (remote, fetched):
        assert looked(tmp_path, monkeypatch, settings, None, change) == ([], [])


IMAGES = """
about: Cats and dogs
data:
  name: pets
  source: {name: images, folder: pets, height: 16, width: 16}
  steps:
    - split: {by: hash, test: 0.2}
task: {name: classify, target: label}
network: {name: cnn/lenet}
"""


@pytest.mark.bad_input
def test_a_folder_of_images(tmp_path, monkeypatch, settings):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "it.yaml").write_text(IMAGES)
    assert "no such folder" in str(look(load("it.yaml"), settings).faults[0])
    (tmp_path / "pets" / "cats").mkdir(parents=True)
    (tmp_path / "pets" / "cats" / "a.png").write_bytes(b"no image")
    assert "none of 1 files could be read as an image" in str(look(load("it.yaml"), settings).faults[0])
    Image.new("L", (9, 9)).save(tmp_path / "pets" / "cats" / "b.png")
    found = look(load("it.yaml"), settings)
    assert found.faults == ()
    assert "1 of 2 files cannot be read as images, as 'a.png'" in str(found.doubts[0])


@pytest.mark.slow
@pytest.mark.mirror
def test_the_tables_of_shipped_recipes_have_no_faults(settings):
    """Those of the mirror: files of folds and without a header, a null of their own, several files."""
    names = [name for name in catalogue() if name.startswith(("classical/", "mlp/", "data/"))]
    located = [load(name) for name in names]
    tables = [one for one in located if one.section("data").get("source", {}).get("name") == "table"]
    assert len(tables) > 8
    by_source = {str(one.section("data")["source"]): one for one in tables}
    found = {one.name: look(one, settings) for one in by_source.values()}
    assert {name: (one.faults, one.doubts) for name, one in found.items() if one.faults or one.doubts} == {}

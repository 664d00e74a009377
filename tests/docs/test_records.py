"""The pages of the records say what the records say, and the records name what exists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from millstream.tracking.recipe.loader import catalogue, load, studies

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "docs" / "records"
RENDER = RECORDS / "render.py"
FILES = sorted(RECORDS.glob("*/*/*.json"))
READ = {file.relative_to(RECORDS).as_posix(): json.loads(file.read_text()) for file in FILES}


def of(kind):
    return {name: record for name, record in READ.items() if name.startswith(f"{kind}/")}


def render(script, *words):
    return subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True, check=False)


@pytest.fixture
def copied(tmp_path):
    """The records and the README in a folder of their own."""
    for file in (*RECORDS.glob("*.py"), *RECORDS.glob("*.md"), *RECORDS.glob("*.json"), *FILES, ROOT / "README.md"):
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(file.read_text())
    return tmp_path


def test_tables_and_the_block_of_the_readme_are_up_to_date():
    ran = render(RENDER, "--check")
    assert ran.returncode == 0, ran.stderr


def test_a_changed_record_makes_its_page_and_the_readme_stale_until_they_are_written(copied):
    script = copied / "docs/records/render.py"
    record = next(copied / "docs/records" / name for name, it in of("results/recipes").items() if it.get("headline"))
    record.write_text(record.read_text().replace('"data": "', '"data": "other '))
    checked = render(script, "--check")
    assert checked.returncode == 1
    assert {Path(line.partition(": stale")[0]).name for line in checked.stderr.splitlines()} == {
        "results.md",
        "README.md",
    }
    assert render(script).returncode == 0
    assert render(script, "--check").returncode == 0


def test_a_row_shows_the_figures_of_its_record(copied):
    figures = [
        {"name": "test/macro_f1", "value": 0.5, "low": 0.25, "high": 0.75, "target": ">= 0.5"},
        {"name": "train/loss", "value": 1234.0, "deviation": 0.1, "unit": "nats"},
    ]
    published = [{"name": "test/macro_f1", "value": 0.4, "source": "a | b"}]
    record = {"recipe": "rnn/made", "data": "d", "seeds": [7], "measured": figures, "references": published}
    (copied / "docs/records/results/recipes/rnn--made--7.json").write_text(json.dumps(record | {"machine": "epyc-2"}))
    assert render(copied / "docs/records/render.py").returncode == 0
    page = (copied / "docs/records/results.md").read_text()
    row = (
        "| made | d | 7 | macro-F1 0.5 (0.25 to 0.75) (≥ 0.5); loss on train 1,234 ± 0.1 nats | a \\| b: macro-F1 0.4 |"
    )
    assert row in page


def test_a_field_that_no_record_has_is_refused_with_its_file(copied):
    record = next(iter((copied / "docs/records/reliability/faults").glob("*.json")))
    record.write_text(record.read_text().replace('"fault"', '"flaw"'))
    ran = render(copied / "docs/records/render.py", "--check")
    assert ran.returncode == 1
    assert record.name in ran.stderr
    assert "flaw" in ran.stderr


def test_every_record_is_of_a_kind_that_is_shown():
    kinds = {name.rpartition("/")[0] for name in READ}
    shown = set(re.findall(r'"((?:results|benchmarks|reliability)/\w+)"', (RECORDS / "pages.py").read_text()))
    assert kinds == shown


def test_every_recipe_and_study_of_a_record_exists():
    named = {it["recipe"] for kind in ("recipes", "datasets", "choices") for it in of(f"results/{kind}").values()}
    assert named - catalogue().keys() == set()
    run = [
        it["command"].split()[2]
        for it in of("results/studies").values()
        if it["command"].startswith("millstream study")
    ]
    assert {f"studies/{name}" for name in run} - studies().keys() == set()


def test_a_result_has_the_pass_marks_of_its_recipe():
    def targets(record):
        return {it["name"]: it["target"] for it in record["measured"] if "target" in it}

    runs = of("results/recipes")
    marks = {recipe: dict(load(recipe).recipe.marks) for recipe in {it["recipe"] for it in runs.values()}}
    assert [name for name, it in runs.items() if targets(it) != marks[it["recipe"]]] == []


def test_every_test_of_a_record_exists():
    named = {test for it in of("reliability").values() for test in it.get("tests", ())}
    assert named
    assert [test for test in sorted(named) if not (ROOT / test).is_file()] == []


def test_every_machine_is_described():
    assert {it["machine"] for it in READ.values() if "machine" in it} <= json.loads(
        (RECORDS / "machines.json").read_text()
    ).keys()


def test_each_family_has_one_headline():
    families = [it["recipe"].partition("/")[0] for it in of("results/recipes").values() if it.get("headline")]
    assert sorted(families) == ["classical", "cnn", "generative", "mlp", "rl", "rnn"]


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda it: it.stem)
def test_every_link_between_pages_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []

"""A drafted recipe has no faults, and declares what was written."""

import csv
import io
import json
import random
from datetime import date, timedelta

import pytest
import yaml

from millstream.experiments.draft.own_data import drafted
from millstream.pipelines import prepare
from millstream.tracking.errors import BadData, WrongRecipe
from millstream.tracking.recipe.loader import load
from millstream.training.assembly.validate import faults_before_preparation

DRAW = random.Random(0)
ROWS = 240


def number(at):
    return f"{DRAW.gauss(50, 10) + 5 * (at % 2):.2f}"


def days(form, first=date(2019, 1, 1)):
    return lambda at: (first + timedelta(days=DRAW.randrange(900))).strftime(form)


def yes(at):
    return "yes" if at % 3 else "no"


def table(delimiter=",", rows=ROWS, **columns):
    """A CSV file whose columns are functions of the row number."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(columns)
    writer.writerows([[column(at) for column in columns.values()] for at in range(rows)])
    return text.getvalue()


def draft(folder, patch, content, target=None, name="it.csv"):
    """The recipe of a file, which has no faults, and the draft."""
    patch.chdir(folder)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    file, found = drafted(name, target)
    for budget in ("cpu", "smoke"):
        located = load(str(file), budget=budget)
        assert [*located.faults, *prepare.faults(located), *faults_before_preparation(located)] == []
    return yaml.safe_load(file.read_text()), found


def columns_of(recipe):
    return recipe["data"]["source"]["columns"]


def step_of(recipe, name):
    return next((step[name] for step in recipe["data"]["steps"] if name in step), None)


DECLARED = {
    "whole": (lambda at: at % 9, {"type": "long"}),
    "price": (lambda at: f"${DRAW.randrange(100, 9_000_000):,}.50", {"prefix": "$", "thousands": ","}),
    "rate": (lambda at: f"{DRAW.random() * 90:.1f} %", {"suffix": "%"}),
    "zip": (lambda at: f"{at % 30:05d}", {"type": "string"}),
    "member": (lambda at: "true" if at % 2 else "false", {"type": "string"}),
    "bought": (days("%d.%m.%Y"), {"type": "timestamp", "form": "d.M.yyyy"}),
    "seen": (lambda at: days(["%Y-%m-%d", "%b %d, %Y"][at % 2])(at), {"form": ["", "MMM d, yyyy"]}),
    "gaps": (lambda at: number(at) if at % 5 else "", {"nullable": True}),
    "marked": (lambda at: number(at) if at % 5 else "n/a", {"nullable": True}),
    "id": (lambda at: at + 1, {"role": "key"}),
    "name": (lambda at: f"Mr {at}", {"role": "key"}),
    "my col.x": (number, {"type": "double"}),
    "yes": (number, {"type": "double"}),
    "#a: b": (number, {"type": "double"}),
    "back`tick": (days("%Y-%m-%d"), {"type": "timestamp"}),
}


@pytest.mark.parametrize("name", DECLARED)
def test_a_column_is_declared_as_it_is_written(tmp_path, monkeypatch, name):
    write, expected = DECLARED[name]
    recipe, found = draft(tmp_path, monkeypatch, table(**{name: write, "x": number, "target": yes}))
    declared = columns_of(recipe)[name]
    declared = {**declared, **declared.get("number", {})}
    forms = declared.get("form")
    assert {
        key: sorted(declared[key]) if key == "form" and isinstance(forms, list) else declared[key] for key in expected
    } == expected
    assert found.task == "classify"
    assert recipe["task"] == {"target": "target", "name": "classify"}


def test_a_european_file(tmp_path, monkeypatch):
    def price(at):
        return f"{1000 + at * 97.25:,.2f}".translate(str.maketrans(",.", ".,"))

    recipe, _ = draft(
        tmp_path,
        monkeypatch,
        "\ufeff" + table(";", Preis=price, Breite=lambda at: number(at).replace(".", ","), target=yes),
    )
    source = recipe["data"]["source"]
    assert (source["delimiter"], source["decimal"]) == (";", ",")
    assert columns_of(recipe)["Preis"]["number"] == {"thousands": "."}
    assert columns_of(recipe)["Breite"] == {"type": "double"}


def test_rows_with_a_time_are_split_by_it(tmp_path, monkeypatch):
    recipe, found = draft(
        tmp_path, monkeypatch, table(when=days("%m/%d/%Y"), born=days("%Y-%m-%d"), x=number, target=yes)
    )
    assert step_of(recipe, "split") == {"by": "time", "time": "when", "valid": 0.1, "test": 0.2}
    assert set(step_of(recipe, "features")["add"]) == {
        "when_month",
        "when_weekday",
        "born_year",
        "born_month",
        "born_weekday",
    }
    assert any("the latest are test" in doubt for doubt in found.doubts)


def test_missing_dates_become_features_that_are_imputed(tmp_path, monkeypatch):
    recipe, _ = draft(
        tmp_path, monkeypatch, table(born=lambda at: days("%Y-%m-%d")(at) if at % 4 else "", x=number, target=yes)
    )
    assert step_of(recipe, "features")["add"]["born_year"]["nullable"]
    assert step_of(recipe, "impute")["columns"] == "numbers"


def test_rows_of_one_customer_stay_together(tmp_path, monkeypatch):
    recipe, _ = draft(tmp_path, monkeypatch, table(customer_id=lambda at: at // 5, x=number, target=yes))
    assert step_of(recipe, "split")["key"] == "customer_id"
    assert columns_of(recipe)["customer_id"]["role"] == "key"


def test_the_split_of_a_file_is_kept(tmp_path, monkeypatch):
    recipe, _ = draft(
        tmp_path, monkeypatch, table(split=lambda at: ["train", "train", "test"][at % 3], x=number, target=yes)
    )
    assert step_of(recipe, "split") == {"by": "given", "valid": 0.1}


def test_a_rare_class_is_split_at_random_and_read_in_a_smoke_run(tmp_path, monkeypatch):
    recipe, found = draft(tmp_path, monkeypatch, table(rows=9000, x=number, target=lambda at: int(at % 225 == 0)))
    assert recipe["budgets"]["smoke"]["data.source.limit"] == 6800
    assert any("99.6%" in doubt for doubt in found.doubts)
    few, _ = draft(
        tmp_path,
        monkeypatch,
        table(x=number, y=number, target=lambda at: "once" if at == 7 else yes(at)),
        name="few.csv",
    )
    assert step_of(few, "split")["by"] == "hash"


def test_what_is_known_afterwards_is_not_read(tmp_path, monkeypatch):
    recipe, found = draft(
        tmp_path, monkeypatch, table(x=number, reason=lambda at: "moved" if at % 3 else "stayed", left=yes)
    )
    assert columns_of(recipe)["reason"]["role"] == "key"
    assert any(doubt.startswith("reason: each of its values has one left alone") for doubt in found.doubts)


@pytest.mark.parametrize(
    ("name", "write", "task"),
    [
        ("price", lambda at: f"${DRAW.randrange(1000, 90_000):,}", "regress"),
        ("y", number, "regress"),
        ("y", lambda at: at % 2, "classify"),
        ("y", lambda at: f"{at % 2}.0", "classify"),
        ("quality", lambda at: 3 + at % 6, "classify"),
        ("y", lambda at: f"class {at % 30}", "classify"),
    ],
)
def test_the_task_follows_from_the_target(tmp_path, monkeypatch, name, write, task):
    recipe, found = draft(tmp_path, monkeypatch, table(x=number, z=lambda at: "ab"[at % 2], **{name: write}))
    assert (found.task, recipe["task"]["target"]) == (task, name)
    assert columns_of(recipe)[name]["type"] == ("string" if task == "classify" else columns_of(recipe)[name]["type"])


def test_a_requested_target_is_taken(tmp_path, monkeypatch):
    recipe, found = draft(
        tmp_path, monkeypatch, table(x=number, town=lambda at: "ab"[at % 2], target=yes), target="town"
    )
    assert recipe["task"] == {"name": "classify", "target": "town"}
    assert not any("--target" in doubt for doubt in found.doubts)


def test_texts_are_read_by_a_network_of_words(tmp_path, monkeypatch):
    def review(at):
        return " ".join(DRAW.choice(["good", "bad", 'film, with "stars"', "very"]) for _ in range(9)) + f" {at}"

    recipe, found = draft(tmp_path, monkeypatch, table(review=review, sentiment=yes))
    assert found.network == "cnn/textcnn"
    assert step_of(recipe, "tokenize")["columns"] == ["review"]
    tsv = "text\tlabel\n" + "".join(f'"a text with a quote {at}\t{yes(at)}\n' for at in range(ROWS))
    recipe, found = draft(tmp_path, monkeypatch, tsv, name="texts.tsv")
    assert recipe["data"]["source"]["tsv"] == {"text": "text", "label": "label"}


def test_a_file_without_a_header_gets_names(tmp_path, monkeypatch):
    content = "".join(f"{number(at)},{'ab'[at % 2]},,{yes(at)}\n" for at in range(ROWS))
    recipe, found = draft(tmp_path, monkeypatch, content)
    assert list(columns_of(recipe)) == ["column_1", "column_2", "column_3", "column_4"]
    assert recipe["data"]["source"]["header"] is False
    assert any("no header" in doubt for doubt in found.doubts)


def test_json_lines(tmp_path, monkeypatch):
    content = "".join(
        json.dumps({"x": at / 7, "n": at % 5, "t": "ab"[at % 2], "ok": at % 3 > 0}) + "\n" for at in range(ROWS)
    )
    recipe, _ = draft(tmp_path, monkeypatch, content, target="ok", name="it.jsonl")
    assert recipe["data"]["source"]["format"] == "jsonl"
    assert columns_of(recipe)["ok"] == {"type": "string", "role": "target"}


REFUSED = {
    "no target": (table(a=number, b=days("%Y-%m-%d")), None, "which column is to be predicted"),
    "a constant": (table(a=number, target=lambda at: "x"), None, "there is nothing to predict"),
    "no such column": (table(age=number, left=yes), "aeg", "did you mean 'age'"),
    "a date": (table(a=number, b=days("%Y-%m-%d")), "b", "is a time"),
    "names of people": (table(a=number, who=lambda at: f"Mr {at}", y=yes), "who", "nothing to learn"),
    "one row": ("a,b,target\n1,2,yes\n", None, "1 row has the columns"),
    "only an id": (table(id=lambda at: at, target=yes), None, "no column is left to predict"),
    "one column": (table(a=number), None, "is there a delimiter"),
    "the same name twice": ("a,a,b\n" + "1,2,x\n" * 30, None, r"\['a'\] come twice"),
    "names that differ in case": ("Age,age,b\n" + "1,2,x\n" * 30, None, "differ in case"),
}


@pytest.mark.bad_input
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_open_is_refused_with_what_to_do(tmp_path, monkeypatch, case):
    content, target, message = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "it.csv").write_text(content)
    with pytest.raises((BadData, WrongRecipe), match=message):
        drafted("it.csv", target)
    assert not (tmp_path / "it.yaml").exists()


@pytest.mark.bad_input
def test_no_file_is_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "it.csv").write_text(table(a=number, target=yes))
    (tmp_path / "it.yaml").write_text("mine")
    with pytest.raises(WrongRecipe, match="exists already"):
        drafted("it.csv")
    assert (tmp_path / "it.yaml").read_text() == "mine"
    assert drafted("it.csv", to="other.yaml")[0].exists()

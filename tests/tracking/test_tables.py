import json
import shlex

import pytest

from millstream.tracking.host.terminal_text import printable
from millstream.tracking.inspection.look import ancestry, look_at
from millstream.verbs.terminal import inspection, preparation, ranking, training
from tests.datasets import make_dataset
from tests.training.signatures import category, number, target

COLUMNS = (number("a"), category("town", 3), target(2))


@pytest.fixture
def shown(capsys, monkeypatch):
    """What a person sees of a result, on a wide terminal."""
    monkeypatch.setenv("COLUMNS", "160")

    def show(view, result):
        view(result)
        return capsys.readouterr().out

    return show


def made(folder, **facts):
    values = {"a": [0.5, 1.5, 4.0, 1.0], "town": [0, 2, 2, 2], "label": [0, 1, 1, 1]}
    return make_dataset(folder, {"train": values}, COLUMNS, **facts)


def test_a_dataset_is_shown_on_a_page(shown, tmp_path):
    out = shown(inspection.inspected, look_at(made(tmp_path, quarantine={"wind is missing": 3})).report())
    assert "made/v1" in out
    (balance,) = [line for line in out.splitlines() if "class 1" in line and "█" * 24 in line]
    assert "3" in balance
    (row,) = [line for line in out.splitlines() if line.startswith("│ a ")]
    assert "1.75" in row
    assert "0.5  1.25  4" in row
    assert "2 3, 0 1" in out
    assert "wind is missing" in out


def test_a_row_is_shown_beside_its_ancestors(shown, tmp_path):
    out = shown(inspection.inspected, ancestry(made(tmp_path), "train-1"))
    assert "train-1" in out
    assert "from made: made in a test" in out


def test_what_was_done_to_a_row_is_shown_whole(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "70")
    done = {"op": "augment2", "changes": [{"shift": {"down": -1, "right": 2}}, {"rotate": {"degrees": -3.1416}}]}
    done["before"] = {"op": "rebalance", "changes": [{"noise": {"deviation": 0.05, "seed": 4611686018427387903}}]}
    ids = ["a-row-with-a-name-that-is-as-long-as-names-of-files-are.png", "child"]
    values = {"a": [1.0, 2.0], "town": [0, 0], "label": [0, 0]}
    values |= {"sample_id": ids, "parent_id": [None, ids[0]], "op": [None, json.dumps(done)]}
    inspection.inspected(ancestry(make_dataset(tmp_path, {"train": values}, COLUMNS), "child"))
    lines = [line.split("│")[2:4] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    sample, parent = ("".join(line[at].strip() for line in lines) for at in (0, 1))
    assert json.dumps(done).replace(" ", "") in sample.replace(" ", "")
    assert ids[0] in parent


@pytest.mark.security
def test_a_terminal_shows_what_is_in_data_and_obeys_none_of_it(shown):
    wicked = "\x1b]0;owned\x07 [red]x[/red] \u202egnirts \x9b2J"
    report = {"ok": False, "faults": [{"where": wicked, "message": wicked}]}
    checks = {"checks": [{"ok": True, "name": wicked, "found": wicked, "mend": wicked}]}
    for out in (shown(preparation.faults, report), shown(preparation.checks, checks)):
        assert not set(out) & set("\x1b\x07\x9b\u202e")
        assert r"\x1b]0;owned\x07" in out
        assert "[red]" in out


def test_text_of_any_script_is_printed_as_it_is():
    plain = "Größe\t価格 שלום 👩‍👩‍👧 a\u00a0b\nc"
    assert printable(plain) == plain


def test_the_command_with_the_best_values_can_be_copied_into_a_shell(capsys):
    values = {"network.hidden": [64, 64], "fit.init": "he"}
    trials = [
        {"values": values, "metrics": {"valid/accuracy": 0.9}, "seconds": 1.0, "failed": None},
        {"values": {**values, "fit.init": "zeros"}, "metrics": {}, "seconds": None, "failed": "the loss is nan"},
    ]
    words = ["--set", "network.hidden=[64, 64]", "--set", 'fit.init="he"']
    report = {"best": {"values": values}, "trials": trials, "metric": "valid/accuracy", "largest": True, "words": words}
    ranking.searched(report | {"recipe": "mlp/adult", "run_id": "1", "table": "t", "figure": "f"})
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert shlex.split(last.removeprefix("train with the best: ")) == ["millstream", "run", "mlp/adult", *words]


def test_trials_without_a_number_stand_behind_the_others(shown):
    values = [0.2, float("nan"), 0.9, None]
    trials = [
        {"values": {"fit.epochs": at}, "metrics": {"valid/auc": one} if one is not None else {}, "seconds": 1.0}
        | {"failed": None if one is not None else "the loss is nan"}
        for at, one in enumerate(values)
    ]
    report = {"best": {"values": {"fit.epochs": 2}}, "trials": trials, "metric": "valid/auc", "largest": True}
    report |= {"words": [], "recipe": "mlp/adult", "run_id": "1", "table": "t", "figure": "f"}
    rows = [line.split("│")[1].strip() for line in shown(ranking.searched, report).splitlines() if line.startswith("│")]
    assert rows == ["2", "0", "1", "3"]


def test_a_mark_of_something_that_is_not_measured_is_reported_with_the_nearest_that_is(shown):
    report = {"metrics": {"test/accuracy": 0.9, "valid/accuracy": 0.8}, "passed": False, "seconds": 1.0}
    report |= {"marks": {"test/acuracy": ">= 0.5"}, "model_uri": "models:/mine/1", "run_id": "r"}
    page = shown(training.trained, report)
    assert "test/acuracy >= 0.5: MISSED" in page
    assert "no test/acuracy" in page
    assert "did you mean 'test/accuracy'?" in page

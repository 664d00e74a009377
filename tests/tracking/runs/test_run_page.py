import re

from millstream.tracking.dataset.manifest import Split
from millstream.tracking.runs.champion import Decision
from millstream.tracking.runs.run_page import Page
from millstream.tracking.runs.table import Table
from tests.tracking.figures.test_figures import NASTY
from tests.training.signatures import manifest, target

COUNTS = {"train": {"no": 90, "yes": 30}, "test": {"no": 30, "yes": 10}}


def page(**more):
    splits = {
        split: Split(rows=sum(counts.values()), class_counts=counts, digest="0" * 32, shards=())
        for split, counts in COUNTS.items()
    }
    facts = {
        "recipe": "mlp/customers",
        "about": "Will a customer leave?",
        "budget": "cpu",
        "seed": 7,
        "command": "millstream run mlp/customers --budget cpu --set fit.seed=7",
        "metrics": {"accuracy": 0.875, "auc": 0.91, "loss": 0.3},
        "marks": {"test/accuracy": ">= 0.8", "test/loss": "<= 0.2"},
        "missed": ("test/loss",),
        "manifest": manifest(target(2)).model_copy(update={"splits": splits}),
        "baseline": "most frequent class of train (no)",
        "baseline_metrics": {"accuracy": 0.75},
        "model_uri": "models:/mlp.customers/4",
        "decision": Decision(
            promoted=False, why="it is worse", metric="test/accuracy", direction="max", champion="3", champion_value=0.9
        ),
    }
    return Page(**facts | more).markdown()


def cells(text):
    """Rows of all tables, by their first cell."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows}


def test_a_page_answers_which_data_which_model_how_good_and_against_what():
    text = page()
    assert text.startswith("**mlp/customers**, budget cpu, seed 7: Will a customer leave?")
    assert text.splitlines()[2] == "Data: test/0, rows train 120, test 40"
    assert "- test/accuracy 0.875, pass mark \\>= 0.8: **reached**; baseline 0.75; champion 0.9" in text
    assert "- test/loss 0.3, pass mark \\<= 0.2: **missed**" in text
    rows = cells(text)
    assert rows["on the test split"] == ["accuracy", "auc", "loss"]
    assert rows["this model"] == ["0.875", "0.91", "0.3"]
    assert rows["baseline: most frequent class of train (no)"] == ["0.75", "", ""]
    assert rows["champion: version 3"] == ["0.9", "", ""]
    assert (rows["split"], rows["train"], rows["test"]) == (
        ["rows", "no", "yes"],
        ["120", "90", "30"],
        ["40", "30", "10"],
    )
    assert "Model: models:/mlp.customers/4, **not champion** when it was registered: it is worse." in text
    assert text.endswith("    millstream run mlp/customers --budget cpu --set fit.seed=7")


def test_results_by_class_and_the_rows_of_the_largest_loss_are_on_the_page():
    classes = Table(("class", "f1"), [["a | b", 0.25], ["c", 0.5]])
    text = page(classes=classes, hardest=("tables/largest_losses.json", "figures/largest_losses.png"))
    assert "| a \\| b | 0.25 |" in text
    assert "largest loss: tables/largest_losses.json, figures/largest_losses.png" in text


def test_what_a_run_lacks_is_left_out():
    text = page(marks={}, missed=(), manifest=None, baseline="", decision=None, model_uri="")
    assert "The recipe has no pass mark." in text
    assert not re.search("Data:|Environment:|Model:|baseline|champion", text)
    assert "Environment: name gymnasium, id CartPole-v1" in page(
        manifest=None, environment="name gymnasium, id CartPole-v1"
    )


def test_names_of_classes_and_recipes_are_shown_as_they_are_and_never_as_markdown():
    hostile = [*NASTY, "<img src=x onerror=alert(1)>", "a | b", "**bold**", "[x](javascript:alert(1))", "line\nbreak"]
    counts = dict.fromkeys(hostile, 1)
    split = Split(rows=len(counts), class_counts=counts, digest="0" * 32, shards=())
    text = page(manifest=manifest(target(2)).model_copy(update={"splits": {"train": split}}), about="<b>\n# x | y")
    assert not re.search(r"(?<!\\)[<>]", text.replace(" \\>", "")), text
    assert "[x](" not in text.replace("\\[x\\](", "")
    (row,) = [line for line in text.splitlines() if line.startswith("| split")]
    assert len(re.split(r"(?<!\\)\|", row)) - 2 == 2 + min(12, len(hostile))

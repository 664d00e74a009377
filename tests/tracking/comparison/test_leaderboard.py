import csv
import io
import math

import numpy as np
import pytest

from millstream.tracking.comparison.finished_runs import Finished, check_together, together
from millstream.tracking.comparison.leaderboard import Measured, chosen, placed, table
from millstream.tracking.comparison.significance import mcnemar
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.figures.leaderboard import leaderboard as figure

DIRECTIONS = {"accuracy": "max", "auc": "max", "iou": "max", "loss": "min"}


def finished(recipe, version="v1", task="classify"):
    return Finished(recipe, f"run of {recipe}", "made", version, task, "cpu", 3.0)


def measured(recipe, wrong, rows=200):
    """A model that predicts the first `wrong` rows wrongly."""
    correct = np.arange(rows) >= wrong
    metrics = {"accuracy": correct.mean(), "loss": 1 - correct.mean(), "iou": 0.5}
    return Measured(finished(recipe), metrics, {"correct": correct, "loss": 1.0 - correct}, DIRECTIONS, rows, 1e-6)


FOUR = [measured("b", 20), measured("worst", 60), measured("a", 20), measured("best", 10)]


def test_the_best_is_first_and_equals_stand_by_their_names():
    board = placed(FOUR, "accuracy")
    assert [(one.place, one.recipe) for one in board] == [(1, "best"), (2, "a"), (3, "b"), (4, "worst")]
    assert [one.recipe for one in placed(FOUR, "loss")] == ["best", "a", "b", "worst"]
    assert board[0].against_best is None


def test_one_whose_metric_is_no_number_is_the_last():
    unknown = Measured(finished("0"), {"auc": math.nan}, {}, DIRECTIONS, 200, 1e-6)
    known = [
        Measured(finished(name), {"auc": value}, {}, DIRECTIONS, 200, 1e-6) for name, value in (("a", 0.2), ("b", 0.9))
    ]
    for order in ([unknown, *known], [known[0], unknown, known[1]]):
        assert [one.recipe for one in placed(order, "auc")] == ["b", "a", "0"]


def test_each_is_tested_against_the_best_on_the_same_rows():
    board = placed(FOUR, "accuracy")
    best, worst = FOUR[3].outcomes["correct"], FOUR[1].outcomes["correct"]
    found = board[3].against_best
    assert found.test == "mcnemar"
    assert found.p == mcnemar(best, worst)
    assert found.difference == pytest.approx(0.25)
    assert found.low < 0.25 < found.high
    # two more are tested beside it, and it is the least likely
    assert found.p_adjusted == pytest.approx(3 * found.p)
    by_loss = placed(FOUR, "loss")[3].against_best
    assert by_loss.test == "bootstrap"
    assert by_loss.difference == pytest.approx(-0.25)
    assert by_loss.p_adjusted < 0.01


def test_a_board_is_the_same_every_time():
    assert placed(FOUR, "accuracy") == placed(FOUR[::-1], "accuracy")


def test_a_metric_without_values_of_rows_is_ranked_and_not_tested():
    board = placed(FOUR, "iou")
    assert [one.against_best for one in board] == [None] * 4
    assert {one.low for one in board} == {None}


def test_the_metric_is_one_that_all_have():
    assert chosen(FOUR, None) == "accuracy"
    assert chosen(FOUR, "test/loss") == "loss"
    with pytest.raises(WrongRecipe, match="did you mean 'accuracy'"):
        chosen(FOUR, "acuracy")


def test_runs_are_put_together_by_dataset_version_and_task():
    runs = [finished("a"), finished("b", "v2"), finished("c"), finished("d", task="variational")]
    assert [[one.recipe for one in group] for group in together(runs)] == [["a", "c"]]


@pytest.mark.bad_input
def test_runs_of_other_versions_or_tasks_are_not_compared():
    check_together([finished("a"), finished("b")], ["a", "b"], None)
    with pytest.raises(WrongRecipe, match="must be of one dataset version: a has made/v1; b has made/v2"):
        check_together([finished("a"), finished("b", "v2")], ["a", "b"], None)
    with pytest.raises(WrongRecipe, match="must be of one task: a has classify; b has regress"):
        check_together([finished("a"), finished("b", task="regress")], ["a", "b"], None)
    with pytest.raises(WrongRecipe, match="recipe c: has no model"):
        check_together([finished("a")], ["a", "c"], None)


def test_the_table_has_all_figures():
    rows = list(csv.DictReader(io.StringIO(table(placed(FOUR, "accuracy")))))
    assert [row["recipe"] for row in rows] == ["best", "a", "b", "worst"]
    assert rows[0]["best_p"] == ""
    assert float(rows[3]["best_difference"]) == pytest.approx(0.25)
    assert float(rows[3]["test/loss"]) == pytest.approx(0.3)


def test_the_figure_shows_values_with_their_intervals():
    board = placed(FOUR, "accuracy")
    left = figure(board).axes[0]
    spans = {tuple(line.get_xdata()) for line in left.lines if len(line.get_xdata()) == 2}
    assert spans == {(one.low, one.high) for one in board}
    assert [label.get_text() for label in left.get_yticklabels()] == ["best", "a", "b", "worst"]

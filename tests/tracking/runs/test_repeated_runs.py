import statistics
from types import SimpleNamespace

import pytest

from millstream.experiments.check_recipe import located
from millstream.tracking.runs.repeated_runs import summary
from tests.tracking.runs.test_run_page import cells

RMSE = (5.0, 7.0)


class Parent:
    id = "0"

    def __init__(self):
        self.logged, self.tags, self.markdown = {}, {}, ""

    def metrics(self, values):
        self.logged |= values

    def tag(self, **tags):
        self.tags |= tags

    def note(self, markdown):
        self.markdown = markdown


def trained(rmse):
    facts = {"metrics": {"test/rmse": rmse, "valid/rmse": 0.0}, "weights": "0", "seconds": 1.0, "dataset_version": "v"}
    return SimpleNamespace(**facts, model_dump=lambda: facts)


def test_the_page_of_repeated_runs_has_their_means_deviations_and_each_run():
    parent = Parent()
    done = [(None, trained(rmse)) for rmse in RMSE]
    found = summary(parent, located("mlp/function-concrete", "smoke", ()), done)
    mean, deviation = statistics.fmean(RMSE), statistics.pstdev(RMSE)
    assert found["metrics"]["test/rmse"] == pytest.approx(mean)
    assert found["metrics"]["test/rmse_deviation"] == pytest.approx(deviation)
    assert parent.markdown.startswith("**mlp/function-concrete**, budget smoke: ")
    assert f"- test/rmse {mean:.5g} ± {deviation:.2g}, pass mark \\<= 5.6: **missed**" in parent.markdown
    rows = cells(parent.markdown)
    assert [rows[name] for name in ("0", "1", "mean", "standard deviation")] == [["5"], ["7"], ["6"], ["1"]]
    assert parent.markdown.endswith("    millstream run mlp/function-concrete --budget smoke")

"""A search whose process is killed, and started again."""

from __future__ import annotations

import pytest

from tests.journey.command import started, told, wait_for
from tests.tracking.recipes import WHOLE, write

SMALL = ("{name: digits}", "{name: digits, limit: 300}")
SECTION = "search: {fit.optimizer.lr: {low: 0.001, high: 0.1, log: true}}\n"
WORDS = ("--strategy", "genetic", "--trials", "4")


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.spark
def test_a_search_that_is_killed_ends_as_an_unbroken_one(tmp_path):
    file = str(write(tmp_path, WHOLE + SECTION, SMALL, name="rates.yaml"))
    killed = started(tmp_path, "search", file, *WORDS)
    wait_for(killed, tmp_path, "checkpoints/*/model/weights.pt")  # the first one is trained
    killed.kill()
    killed.wait()
    found = told(tmp_path, "search", file, *WORDS)
    unbroken = told(tmp_path, "search", file, *WORDS, "--fresh")
    assert found["run_id"] != unbroken["run_id"]
    assert [(one["values"], one["metrics"]) for one in found["trials"]] == [
        (one["values"], one["metrics"]) for one in unbroken["trials"]
    ]
    assert found["best"]["values"] == unbroken["best"]["values"]

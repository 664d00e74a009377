"""A search whose process is killed, and started again."""

from __future__ import annotations

import random

import pytest

from tests.journey.command import completed, started, wait_for
from tests.tracking.recipes import WHOLE, write

SMALL = ("{name: digits}", "{name: digits, limit: 300}")
SECTION = "search: {fit.optimizer.lr: {low: 0.001, high: 0.1, log: true}}\n"
TRAINED = "checkpoints/*/model/weights.pt"


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.spark
@pytest.mark.timeout(3600)
def test_a_search_that_is_killed_ends_as_an_unbroken_one(tmp_path, soak):
    trials, after = (20, random.Random(7).randrange(1, 20)) if soak else (4, 1)
    words = ("--strategy", "genetic", "--trials", str(trials))
    file = str(write(tmp_path, WHOLE + SECTION, SMALL, name="rates.yaml"))
    killed = started(tmp_path, "search", file, *words)
    wait_for(killed, tmp_path, TRAINED, count=after)
    killed.kill()
    killed.wait()
    found = completed(tmp_path, "search", file, *words)
    unbroken = completed(tmp_path, "search", file, *words, "--fresh")
    assert found["run_id"] != unbroken["run_id"]
    assert [(one["values"], one["metrics"]) for one in found["trials"]] == [
        (one["values"], one["metrics"]) for one in unbroken["trials"]
    ]
    assert found["best"]["values"] == unbroken["best"]["values"]
    assert len(found["trials"]) == trials

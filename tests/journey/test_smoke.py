"""Every recipe goes the whole way at its smoke budget: the command, in one process that keeps its Spark session."""

from __future__ import annotations

import json
import math

import pytest
from click.testing import CliRunner

from millstream import cli
from tracking.recipe_file import catalogue, load

EMBEDDED = ("digits", "generated")


def _recipes():
    for name in sorted(catalogue()):
        data = load(name).recipe.data
        needs_files = data is not None and data.source["name"] not in EMBEDDED
        yield pytest.param(name, marks=[pytest.mark.mirror] if needs_files else [])


@pytest.mark.smoke
@pytest.mark.parametrize("name", _recipes())
def test_a_recipe_goes_the_whole_way(name, spark, session_home):
    home = {"MILLSTREAM_HOME": str(session_home / "smoke"), "MILLSTREAM_STORE": None, "MLFLOW_TRACKING_URI": None}
    ended = CliRunner().invoke(cli, ["run", name, "--budget", "smoke", "--json"], env=home)
    assert ended.exit_code == 0, ended.stderr[-3000:]
    told = json.loads(ended.stdout.splitlines()[-1])
    if not load(name).recipe.trains:
        assert told["rows"]["train"] > 0
        return
    assert told["model_uri"]
    measured = {name: value for name, value in told["metrics"].items() if name.startswith("test/")}
    assert measured
    assert all(math.isfinite(value) for value in measured.values())

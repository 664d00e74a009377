"""Every recipe goes the whole way at its smoke budget: the command, in one process that keeps its Spark session."""

from __future__ import annotations

import json
import math

import pytest

from millstream.__main__ import cli
from millstream.tracking.recipe.loader import catalogue, load

EMBEDDED = ("digits", "generated")


def _recipes():
    seen = set()
    for name in sorted(catalogue()):
        recipe = load(name).recipe
        data = recipe.data
        needs_files = data is not None and data.source["name"] not in EMBEDDED
        # those of one data set in one process: what one of them has prepared, others find
        together = pytest.mark.xdist_group((data.name or data.source["name"]) if data else name)
        kind = (together.args, *((section or {}).get("name") for section in (recipe.task, recipe.network)))
        # one recipe of each kind in `make smoke`, all of them in `make test-all`
        more = [pytest.mark.mirror] * needs_files + [pytest.mark.slow] * (kind in seen)
        seen.add(kind)
        yield pytest.param(name, marks=[together, *more])


@pytest.mark.smoke
@pytest.mark.parametrize("name", _recipes())
def test_a_recipe_goes_the_whole_way(name, spark, session_home, monkeypatch, capfd):
    monkeypatch.setenv("MILLSTREAM_HOME", str(session_home / "smoke"))
    for elsewhere in ("MILLSTREAM_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(elsewhere, raising=False)
    with pytest.raises(SystemExit) as ended:
        cli(["run", name, "--budget", "smoke", "--json"])
    out, err = capfd.readouterr()
    assert ended.value.code == 0, err[-3000:]
    result = json.loads(out.splitlines()[-1])
    if not load(name).recipe.trains:
        assert result["rows"]["train"] > 0
        return
    assert result["model_uri"]
    measured = {name: value for name, value in result["metrics"].items() if name.startswith("test/")}
    assert measured
    assert all(math.isfinite(value) for value in measured.values())
    assert result["marks"].keys() <= result["metrics"].keys()  # a mark that nothing is held against is never reached

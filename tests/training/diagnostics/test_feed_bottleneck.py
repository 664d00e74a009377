from types import SimpleNamespace

import pytest

from millstream.training.diagnostics import feed_bottleneck as looking
from millstream.training.diagnostics import health
from millstream.training.diagnostics.feed_bottleneck import _without
from millstream.training.estimator import Estimator
from millstream.training.estimator_module import EstimatorModule
from millstream.training.feed.plan.config import MIB, Reading
from millstream.training.feed.read.windows import Held
from tests.training.feed.made import made

ROW_BYTES = 12 + 2 * 4 + 9 * 8 + 8 + 2 * 4 + 8 + 4 + 4
"""Of a made row that is held: image, mood, tokens and their number, width and count, colour, price, share."""


@pytest.mark.spark
def test_the_doctor_names_the_one_part_that_limits_a_recipe(here, tmp_path, spark):
    here(tmp_path, "prepare", "cnn/lenet-digits")
    # 4: this machine has little memory or disk left just now
    report = here(tmp_path, "doctor", "--feed", "cnn/lenet-digits", code=(0, 4))
    checks = {one["name"]: one for one in report["checks"]}
    parts = {name: one for name, one in checks.items() if name.startswith("feed: ")}
    assert list(parts) == ["feed: reading", "feed: decoding", "feed: making batches", "feed: the model"]
    slow = [name for name, one in parts.items() if "the limit" in one["found"]]
    assert len(slow) == 1
    assert parts[slow[0]]["mend"]
    # the digits are held: what is read once in a run limits no epoch
    assert slow[0] not in ("feed: reading", "feed: decoding")


def test_of_two_things_done_in_turn_the_second_takes_the_rest_of_the_time():
    # 100 a second for both together, 400 for the first: 10 ms = 2.5 ms + 7.5 ms
    assert _without(100, 400) == pytest.approx(1000 / 7.5)
    assert _without(400, 400) == float("inf")


@pytest.mark.parametrize(
    ("how", "held_rows", "text"),
    [
        ({"memory": "cached"}, 203, ""),
        ({"memory": "auto"}, 203, ""),
        ({"memory": "streamed"}, 60, " on 3 of 11 shards"),
        ({"memory": "auto", "cache_mib": 0}, 60, " on 3 of 11 shards"),
        # a batch has to be full, whatever the window
        ({"memory": "streamed", "window_mib": 1 / MIB, "batch_size": 16}, 20, " on 1 of 11 shards"),
    ],
    ids=str,
)
def test_no_more_rows_are_held_than_the_recipe_lets(tmp_path, monkeypatch, how, held_rows, text):
    dataset, _ = made(tmp_path, 203, shard_rows=20)
    signature = dataset.manifest.signature("price")
    seen, rows = [], Held.rows

    def watched(self, statistics):
        held = rows(self, statistics)
        seen.append(len(held[0]))
        return held

    monkeypatch.setattr(Held, "rows", watched)
    monkeypatch.setattr(looking, "LONGEST_S", 0.01)
    fit = Reading(**({"batch_size": 8, "window_mib": 75 * ROW_BYTES / MIB, "engine": "arrow"} | how))
    network = SimpleNamespace(network=EstimatorModule(Estimator()))
    parts = SimpleNamespace(fit=fit, signature=lambda manifest: signature, build=lambda signature: network)
    checks = {one.name: one.found for one in health.feed_checks(dataset, parts, lambda message: None)}
    assert set(seen) == {held_rows}
    assert checks["feed: making batches"].removesuffix(": the limit").partition("rows/s")[2] == text

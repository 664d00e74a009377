"""A rank without a row in a batch, or in all of a split, changes no metric of any task."""

import json
import math
import os
import socket

import pytest

from millstream.training.distributed.ranks import Ranks
from tests.forkserver import python
from tests.training.tasks_in_ranks import DRAWN, results

WITHIN_S = 300


@pytest.fixture(scope="module")
def of_two():
    """The metrics as each of two ranks has them."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    where = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    started = [
        python(
            "-m",
            "tests.training.tasks_in_ranks",
            env={**os.environ, **where, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    try:
        outputs = [one.communicate(timeout=WITHIN_S)[0] for one in started]
    finally:
        for one in started:
            one.kill()
    assert [one.returncode for one in started] == [0, 0]
    return [json.loads(one.splitlines()[-1]) for one in outputs]


def test_metrics_of_two_ranks_are_those_of_one_also_where_a_rank_has_no_row(of_two):
    alone = results(Ranks())
    assert [found.keys() for found in of_two] == [alone.keys()] * 2
    for case, expected in alone.items():
        for found in of_two:
            assert found[case].keys() == expected.keys(), case
            for name, value in expected.items():
                if case.startswith(DRAWN):
                    assert math.isfinite(found[case][name]), (case, name)
                else:
                    assert found[case][name] == pytest.approx(value, rel=1e-5, abs=1e-6, nan_ok=True), (case, name)

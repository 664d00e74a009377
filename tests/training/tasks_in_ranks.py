"""Measures tasks of all kinds on splits of which a rank has no row: alone, or as one of two processes.

python -m tests.training.tasks_in_ranks     (by `test_tasks_in_ranks`, with what torchrun sets in the environment)
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from millstream.training.config.fit import Fit
from millstream.training.distributed.ranks import Ranks
from millstream.training.feed.batch import Batch
from millstream.training.networks.generative import vae
from millstream.training.task import Task
from millstream.training.tasks.cluster import Cluster
from millstream.training.tasks.cluster import Config as ClusterConfig
from millstream.training.tasks.reduce import Config as ReduceConfig
from millstream.training.tasks.reduce import Reduce
from millstream.training.tasks.variational import Config as VariationalConfig
from millstream.training.tasks.variational import Variational
from tests import shortcuts
from tests.training.optimization import test_carried_state
from tests.training.signatures import image, signature, target
from tests.training.tasks import test_adversarial, test_cluster, test_reduce
from tests.training.tasks.made import measured
from tests.training.tasks.test_outcomes import CASES, classes, drawn

SLOTS = 16
SPLITS = (1, 33) if shortcuts.ARE_TAKEN else (1, 9, 33)
"""Rows; in a last batch that is not full they stand in the last slots: rank 0 is the one without."""
DRAWN = ("adversarial", "variational")
"""Kinds whose metrics have draws in them, which are a rank's own."""


def cluster() -> Task:
    return Cluster(ClusterConfig(against="label"), test_cluster.ByLargest(), test_cluster.MADE, Fit())


def reduce() -> Task:
    return Reduce(ReduceConfig(colour="label"), test_reduce.fitted(), test_reduce.IMAGES, Fit())


def variational() -> Task:
    torch.manual_seed(0)
    made = signature(image(1, 8, 8), target(2))
    network = vae.build(vae.Config(latent=2, hidden=[8]), made)
    return Variational(VariationalConfig(colour="label", samples=5, images=3), network, made, Fit())


KINDS: dict[str, tuple[Callable[[], Task], Tensor, Tensor | None]] = {
    **{name: (make, inputs, truth) for name, (make, inputs, truth, _) in CASES.items()},
    "cluster": (cluster, drawn(3), classes(4)),
    "reduce": (reduce, test_reduce.images(40), classes(3)),
    "adversarial": (test_adversarial.task, drawn(1, 8, 8).sigmoid(), None),
    "variational": (variational, drawn(1, 8, 8).sigmoid(), classes(2)),
}


def batches(inputs: Tensor, truth: Tensor | None, rows: int, place: Ranks) -> Iterator[Batch]:
    """What a rank reads of a split of so many rows."""
    share = SLOTS // place.ranks
    own = slice(place.rank * share, (place.rank + 1) * share)
    for at, start in enumerate(range(0, rows, SLOTS)):
        real = min(SLOTS, rows - start)
        mask = torch.arange(SLOTS) >= SLOTS - real
        slots = torch.zeros(SLOTS, dtype=torch.long)
        slots[mask] = torch.arange(start, start + real)
        parts = [None if one is None else one[slots].clone() for one in (inputs, truth)]
        for part in parts:
            if part is not None:
                part[~mask] = 0
        given, target = (None if part is None else part[own] for part in parts)
        assert given is not None
        targets = {} if target is None else {"target": target}
        yield Batch({"input": given}, targets, mask[own].float(), mask[own], real, place.ranks, 0, at)


def results(place: Ranks) -> dict[str, dict[str, float]]:
    """The metrics of each kind of task on each split, by `kind, rows`; figures are drawn of a single row."""
    found: dict[str, Any] = {}
    for kind, (make, inputs, truth) in KINDS.items():
        for rows in SPLITS:
            torch.manual_seed(1)
            task = make()
            task.setup("test")
            found[f"{kind}, {rows}"] = measured(task, *batches(inputs, truth, rows, place))
            if rows == 1:  # one of two ranks has nothing to show
                task.figures()
    return found | {"a carried state": test_carried_state.learned(place)}


if __name__ == "__main__":
    this = Ranks.of(os.environ)
    torch.set_num_threads(1)
    with this.joined(120):
        sys.stdout.write(json.dumps(results(this)) + "\n")

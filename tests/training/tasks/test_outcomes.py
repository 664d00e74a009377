"""What two models are compared by is what was measured: the statistic of a task's outcomes is its metric."""

import numpy as np
import pytest
import torch

from millstream.tracking.comparison.significance import statistic
from millstream.training.config.fit import Fit
from millstream.training.tasks.density import Config, Density
from millstream.training.tensors import as_numpy
from tests.training.tasks import (
    test_classify,
    test_count,
    test_density,
    test_distributional,
    test_ordinal,
    test_quantiles,
    test_regress,
    test_segment,
    test_super_resolve,
    test_tags,
)
from tests.training.tasks.made import batch, measured

ROWS, REAL = 40, 33


def drawn(*shape):
    return torch.randn(ROWS, *shape, generator=torch.Generator().manual_seed(len(shape)))


def classes(count):
    return torch.randint(0, count, (ROWS,), generator=torch.Generator().manual_seed(count))


def density():
    return Density(Config(), test_density.Normal(), test_density.PLANE, Fit())


# of three sizes, one of which has no place for SSIM's window
IMAGES = test_super_resolve.framed((test_super_resolve.SIZES * ROWS)[:ROWS])

CASES = {
    "two classes": (lambda: test_classify.task(2), drawn(2), classes(2), {"accuracy", "auc", "ap"}),
    "classes": (lambda: test_classify.task(4), drawn(4), classes(4), {"accuracy"}),
    "numbers": (test_regress.task, drawn(1), drawn(), {"rmse", "mae", "mse"}),
    "counts": (test_count.task, drawn(1), classes(5).float(), {"deviance", "log_likelihood", "rmse"}),
    "density": (density, drawn(2), None, {"log_likelihood", "nll"}),
    "distributions": (test_distributional.task, drawn(2), drawn(), {"log_likelihood", "rmse", "coverage"}),
    "ranks": (test_ordinal.task, drawn(1), classes(4), {"accuracy", "mae"}),
    "quantiles": (test_quantiles.task, drawn(3), drawn(), {"pinball", "mae", "coverage"}),
    "masks": (
        test_segment.task,
        drawn(1, 6, 5),
        classes(3)[:, None, None, None] * torch.ones(1, 6, 5).long(),
        {"iou", "dice"},
    ),
    "images": (test_super_resolve.task, IMAGES.arguments[0], IMAGES.truth, {"psnr_y", "ssim", "pattern"}),
    "tags": (test_tags.task, drawn(3), (drawn(3) > 0.5).float().roll(1, 0), {"accuracy"}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_statistic_of_the_outcomes_is_the_metric(case):
    make, inputs, truth, compared = CASES[case]
    given = batch(inputs, target=truth, real=REAL)
    found = {name.removeprefix("test/"): value for name, value in measured(make(), given).items()}
    task = make().eval()
    with torch.no_grad():
        loss, output = task.rows(given)
        values = {"loss": loss[given.mask_B], **task.outcomes(output, given)}
    outcomes = {name: as_numpy(values) for name, values in values.items()}
    assert {len(values) for values in outcomes.values()} == {REAL}
    statistics = {metric: statistic(metric, outcomes) for metric in found}
    assert {metric for metric, one in statistics.items() if one is not None} == compared | {"loss"}
    for metric in compared | {"loss"}:
        assert statistics[metric](np.ones(REAL)) == pytest.approx(found[metric], rel=1e-4), metric

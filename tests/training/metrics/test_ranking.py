import math

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle

from millstream.training.metrics.ranking import Auc, AveragePrecision, MeanAuc, MeanAveragePrecision

pytestmark = pytest.mark.filterwarnings("ignore:No (positive|negative) samples")


def fed(metric, scores, has):
    for rows in (slice(0, 7), slice(7, None)):
        metric.update(torch.from_numpy(scores[rows]), torch.from_numpy(has[rows]))
    return float(metric.compute())


@pytest.fixture
def rows():
    generator = np.random.default_rng(1)
    return generator.random((40, 4)), generator.integers(0, 2, (40, 4))


def test_both_are_those_of_scikit_learn(rows):
    scores, has = rows
    assert fed(Auc(), scores[:, 0], has[:, 0]) == pytest.approx(oracle.roc_auc_score(has[:, 0], scores[:, 0]))
    precision = oracle.average_precision_score(has[:, 0], scores[:, 0])
    assert fed(AveragePrecision(), scores[:, 0], has[:, 0]) == pytest.approx(precision)


@pytest.mark.parametrize("value", [0, 1])
def test_one_kind_of_rows_has_no_order(rows, value):
    scores, has = rows
    assert math.isnan(fed(Auc(), scores[:, 0], np.full_like(has[:, 0], value)))
    assert math.isnan(fed(AveragePrecision(), scores[:, 0], np.zeros_like(has[:, 0])))


def test_a_tag_that_is_nowhere_is_not_in_the_mean(rows):
    scores, has = rows
    has[:, 1], has[:, 2] = 0, 1
    there = [0, 3]
    assert fed(MeanAuc(4, average="none"), scores, has) == pytest.approx(
        oracle.roc_auc_score(has[:, there], scores[:, there], average="macro")
    )
    there = [0, 2, 3]
    assert fed(MeanAveragePrecision(4, average="none"), scores, has) == pytest.approx(
        oracle.average_precision_score(has[:, there], scores[:, there], average="macro")
    )


def test_without_any_tag_there_is_no_mean(rows):
    scores, has = rows
    assert math.isnan(fed(MeanAuc(4, average="none"), scores, np.zeros_like(has)))
    assert math.isnan(fed(MeanAveragePrecision(4, average="none"), scores, np.zeros_like(has)))

"""Extremely randomized trees, by scikit-learn: a forest with random thresholds, each tree fitted on all rows.

Source: Geurts et al. 2006, doi:10.1007/s10994-006-6226-1.
"""

from __future__ import annotations

from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from millstream.tracking.dataset.signature import Signature
from millstream.training.networks.classical import forest
from millstream.training.networks.classical._scikit_learn import Scikit

Config = forest.Config
TINY = Config(trees=5)


def build(config: Config, signature: Signature) -> Scikit:
    classes = len(signature.classes)
    options = forest.shape(config, classes)
    blank = ExtraTreesClassifier(criterion=config.criterion, **options) if classes else ExtraTreesRegressor(**options)
    return Scikit(blank, classes)

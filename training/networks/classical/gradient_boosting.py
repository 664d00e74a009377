"""Gradient boosting in its original form, by scikit-learn: each tree is fitted to the gradient of the current loss.

Source: Friedman 2001, doi:10.1214/aos/1013203451; stochastic: Friedman 2002, doi:10.1016/S0167-9473(01)00065-2.
"""

from __future__ import annotations

from pydantic import BaseModel, Field
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

from millstream.tracking.dataset.signature import Signature
from millstream.training.networks.classical._scikit_learn import Scikit


class Config(BaseModel, frozen=True, extra="forbid"):
    rounds: int = Field(100, ge=1, description="boosting rounds (one tree per class and round)")
    depth: int = Field(3, ge=1, description="maximum depth of a tree")
    rate: float = Field(0.1, gt=0, le=1, description="learning rate (shrinkage of each tree)")
    rows: float = Field(1.0, gt=0, le=1, description="fraction of rows sampled for each tree")
    leaf: int = Field(1, ge=1, description="minimum samples in a leaf")
    seed: int = Field(0, ge=0, description="seed of the row samples and of ties between equally good splits")


TINY = Config(rounds=5)


def build(config: Config, signature: Signature) -> Scikit:
    shape = {
        "n_estimators": config.rounds,
        "max_depth": config.depth,
        "learning_rate": config.rate,
        "subsample": config.rows,
        "min_samples_leaf": config.leaf,
        "random_state": config.seed,
    }
    classes = len(signature.classes)
    return Scikit(GradientBoostingClassifier(**shape) if classes else GradientBoostingRegressor(**shape), classes)

"""Gradient boosting in its first form, by scikit-learn: each tree is fitted to the gradient of the loss so far.

Source: Friedman 2001, doi:10.1214/aos/1013203451; with drawn rows: Friedman 2002, doi:10.1016/S0167-9473(01)00065-2.
"""

from __future__ import annotations

from pydantic import BaseModel, Field
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

from millstream.tracking.dataset.signature import Signature
from millstream.training.networks.classical._scikit_learn import Scikit


class Config(BaseModel, frozen=True, extra="forbid"):
    rounds: int = Field(100, ge=1, description="trees, one after the other (for each class)")
    depth: int = Field(3, ge=1, description="deepest level of a tree")
    rate: float = Field(0.1, gt=0, le=1, description="share of each tree that is added")
    rows: float = Field(1.0, gt=0, le=1, description="share of rows drawn for each tree")
    leaf: int = Field(1, ge=1, description="fewest samples in a leaf")
    seed: int = Field(0, ge=0, description="draws of rows, and order in which equally good splits are tried")


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

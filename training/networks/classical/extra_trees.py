"""Extremely randomized trees, by scikit-learn: a forest whose thresholds are drawn, each tree on all rows.

Source: Geurts et al. 2006, doi:10.1007/s10994-006-6226-1.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from tracking.manifest import Signature
from training.scikit import Scikit


class Config(BaseModel, frozen=True, extra="forbid"):
    trees: int = Field(100, ge=1)
    criterion: Literal["gini", "entropy"] = Field("gini", description="impurity of a node; squared error for a number")
    depth: int | None = Field(None, ge=1, description="deepest level; default: until leaves are pure")
    leaf: int = Field(1, ge=1, description="fewest samples in a leaf")
    seed: int = Field(0, ge=0, description="columns and thresholds tried at each split")


def build(config: Config, signature: Signature) -> Scikit:
    shape = {
        "n_estimators": config.trees,
        "max_depth": config.depth,
        "min_samples_leaf": config.leaf,
        "random_state": config.seed,
        "n_jobs": -1,
    }
    classes = len(signature.classes)
    blank = ExtraTreesClassifier(criterion=config.criterion, **shape) if classes else ExtraTreesRegressor(**shape)
    return Scikit(blank, classes)

"""One decision tree, by scikit-learn.

Source: Breiman et al. 1984, Classification and Regression Trees.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from tracking.manifest import Signature
from training.scikit import Scikit


class Config(BaseModel, frozen=True, extra="forbid"):
    criterion: Literal["gini", "entropy"] = Field("gini", description="impurity of a node; squared error for a number")
    depth: int | None = Field(None, ge=1, description="deepest level; default: until leaves are pure")
    leaf: int = Field(1, ge=1, description="fewest samples in a leaf")
    seed: int = Field(0, ge=0, description="order in which equally good splits are tried")


def build(config: Config, signature: Signature) -> Scikit:
    shape = {"max_depth": config.depth, "min_samples_leaf": config.leaf, "random_state": config.seed}
    classes = len(signature.classes)
    blank = DecisionTreeClassifier(criterion=config.criterion, **shape) if classes else DecisionTreeRegressor(**shape)
    return Scikit(blank, classes)

"""Random forest, by scikit-learn.

Source: Breiman 2001, doi:10.1023/A:1010933404324.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from millstream.tracking.dataset.signature import Signature
from millstream.training.networks.classical._scikit_learn import Scikit
from millstream.training.networks.classical.tree import Columns


class Config(BaseModel, frozen=True, extra="forbid"):
    trees: int = Field(100, ge=1, description="number of trees")
    criterion: Literal["gini", "entropy"] = Field(
        "gini", description="impurity of a node, for classes; regression uses squared error"
    )
    depth: int | None = Field(None, ge=1, description="maximum depth; default: until leaves are pure")
    leaf: int = Field(1, ge=1, description="minimum samples in a leaf")
    columns: Columns | None = Field(
        None, description="fraction of columns sampled at each split; default: sqrt for classes, all for regression"
    )
    seed: int = Field(0, ge=0, description="seed of the bootstrap samples and of the columns sampled at each split")


TINY = Config(trees=5)


def build(config: Config, signature: Signature) -> Scikit:
    classes = len(signature.classes)
    options = shape(config, classes)
    blank = (
        RandomForestClassifier(criterion=config.criterion, **options) if classes else RandomForestRegressor(**options)
    )
    return Scikit(blank, classes)


def shape(config: Config, classes: int) -> dict[str, Any]:
    """Keyword arguments of scikit-learn's forests, without the criterion, which regression does not have."""
    return {
        "n_estimators": config.trees,
        "max_depth": config.depth,
        "min_samples_leaf": config.leaf,
        "max_features": config.columns or ("sqrt" if classes else 1.0),
        "random_state": config.seed,
        "n_jobs": -1,
    }

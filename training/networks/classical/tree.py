"""Decision tree, by scikit-learn; with fewer columns, a random tree as in a forest.

Sources: Breiman et al. 1984, Classification and Regression Trees; Breiman 2001, doi:10.1023/A:1010933404324, section 4.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from millstream.tracking.dataset.signature import Signature
from millstream.training.networks.classical._scikit_learn import Scikit

Columns = Literal["sqrt"] | Annotated[float, Field(gt=0, le=1)]
"""Columns sampled at each split: a fraction, or the square root of their number."""


class Config(BaseModel, frozen=True, extra="forbid"):
    criterion: Literal["gini", "entropy"] = Field(
        "gini", description="impurity of a node, for classes; regression uses squared error"
    )
    depth: int | None = Field(None, ge=1, description="maximum depth; default: until leaves are pure")
    leaf: int = Field(1, ge=1, description="minimum samples in a leaf")
    columns: Columns = Field(
        1.0, description="fraction of columns sampled at each split; sqrt: the square root of their number"
    )
    seed: int = Field(0, ge=0, description="seed of the columns sampled and of ties between equally good splits")


def build(config: Config, signature: Signature) -> Scikit:
    shape = {
        "max_depth": config.depth,
        "min_samples_leaf": config.leaf,
        "max_features": config.columns,
        "random_state": config.seed,
    }
    classes = len(signature.classes)
    blank = DecisionTreeClassifier(criterion=config.criterion, **shape) if classes else DecisionTreeRegressor(**shape)
    return Scikit(blank, classes)

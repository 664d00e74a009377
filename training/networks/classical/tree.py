"""One decision tree, by scikit-learn; with fewer columns a random tree, as forests are made of.

Sources: Breiman et al. 1984, Classification and Regression Trees; Breiman 2001, doi:10.1023/A:1010933404324, section 4.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from millstream.tracking.dataset.signature import Signature
from millstream.training.networks.classical._scikit_learn import Scikit

Columns = Literal["sqrt"] | Annotated[float, Field(gt=0, le=1)]
"""Of those that are looked at before each split, drawn anew: a share, or the square root of how many there are."""


class Config(BaseModel, frozen=True, extra="forbid"):
    criterion: Literal["gini", "entropy"] = Field("gini", description="impurity of a node; squared error for a number")
    depth: int | None = Field(None, ge=1, description="deepest level; default: until leaves are pure")
    leaf: int = Field(1, ge=1, description="fewest samples in a leaf")
    columns: Columns = Field(1.0, description="share of columns drawn before each split, or sqrt: their square root")
    seed: int = Field(0, ge=0, description="order in which equally good splits are tried, and columns drawn")


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

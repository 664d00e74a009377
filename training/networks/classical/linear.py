"""Ordinary least squares or ridge regression, by scikit-learn: the baseline of every regression.

Source: Legendre 1805; Hastie et al. 2009, The Elements of Statistical Learning, section 3.2.
"""

from __future__ import annotations

from pydantic import BaseModel, Field
from sklearn.linear_model import LinearRegression, Ridge

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.training.networks.classical._scikit_learn import Scikit


class Config(BaseModel, frozen=True, extra="forbid"):
    penalty: float = Field(0.0, ge=0, description="L2 penalty on the weights (ridge)")


def build(config: Config, signature: Signature) -> Scikit:
    """Raises BadData for a class as target: this is a regressor."""
    if signature.classes:
        raise BadData.at("network classical/linear", "predicts a number, and the target is a class; take logistic")
    return Scikit(Ridge(config.penalty) if config.penalty else LinearRegression(), 0)

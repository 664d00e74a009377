"""Naive Bayes with Gaussian columns, by scikit-learn.

Source: Duda & Hart 1973; the figures of arXiv 1708.07747, table 3.
"""

from __future__ import annotations

from pydantic import BaseModel, Field
from sklearn.naive_bayes import GaussianNB

from millstream.tracking.dataset.signature import Signature
from millstream.training.networks.classical._scikit_learn import Scikit


class Config(BaseModel, frozen=True, extra="forbid"):
    smoothing: float = Field(1e-9, gt=0, description="share of the largest variance that is added to all")


def build(config: Config, signature: Signature) -> Scikit:
    return Scikit(GaussianNB(var_smoothing=config.smoothing), len(signature.classes))

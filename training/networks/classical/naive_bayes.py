"""Gaussian naive Bayes classifier, by scikit-learn.

Source: Duda & Hart 1973; reference results: arXiv 1708.07747, table 3.
"""

from __future__ import annotations

from pydantic import BaseModel, Field
from sklearn.naive_bayes import GaussianNB

from millstream.tracking.dataset.signature import Signature
from millstream.training.networks.classical._scikit_learn import Scikit


class Config(BaseModel, frozen=True, extra="forbid"):
    smoothing: float = Field(1e-9, gt=0, description="fraction of the largest variance that is added to all variances")


def build(config: Config, signature: Signature) -> Scikit:
    return Scikit(GaussianNB(var_smoothing=config.smoothing), len(signature.classes))

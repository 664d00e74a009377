"""Logistic regression: the linear classifier, by scikit-learn.

Source: Cox 1958, doi:10.1111/j.2517-6161.1958.tb00292.x; multinomial for more than two classes, fitted by L-BFGS.
"""

from __future__ import annotations

from pydantic import BaseModel, Field
from sklearn.linear_model import LogisticRegression

from millstream.tracking.dataset.signature import Signature
from millstream.training.networks.classical._scikit_learn import Scikit


class Config(BaseModel, frozen=True, extra="forbid"):
    inverse_penalty: float = Field(1.0, gt=0, description="inverse strength of the L2 penalty (C)")
    iterations: int = Field(100, ge=1, description="maximum iterations of L-BFGS")
    tolerance: float = Field(1e-4, gt=0, description="gradient norm at which the solver stops")


def build(config: Config, signature: Signature) -> Scikit:
    blank = LogisticRegression(C=config.inverse_penalty, max_iter=config.iterations, tol=config.tolerance)
    return Scikit(blank, len(signature.classes))

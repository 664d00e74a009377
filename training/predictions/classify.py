"""Class probabilities of the registered model. Axes: B rows, K classes."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from millstream.tracking.dataset.signature import Shares
from millstream.tracking.errors import BadData
from millstream.training.predictions._predictor import Base, Columns
from millstream.training.tensors import as_numpy


class Predictor(Base):
    outputs: ClassVar = {"prediction": "string", "probability": "double", "probabilities": "Array(double)"}
    classes: tuple[str, ...]
    shift: tuple[float, ...] = Field((), description="added to the logits, where a prior is corrected")

    def predict(self, network: Any, *inputs: Any) -> Columns:
        scores_BK = as_numpy(network(*inputs))
        if self.shift:
            scores_BK = scores_BK + np.array(self.shift, scores_BK.dtype)
        raised_BK = np.exp(scores_BK.astype(np.float64) - scores_BK.max(axis=1, keepdims=True))
        probability_BK = raised_BK / raised_BK.sum(axis=1, keepdims=True)
        best_B = probability_BK.argmax(axis=1)
        return {
            "prediction": [self.classes[at] for at in best_B.tolist()],
            "probability": np.take_along_axis(probability_BK, best_B[:, None], axis=1)[:, 0],
            "probabilities": probability_BK,
        }


def prior_shift(shares: Shares | None) -> tuple[float, ...]:
    """Logit offsets (K,) that correct scores (B, K) from the trained class prior to the given one; empty without
    shares.

    p(k|x) is proportional to p_trained(k|x) given_k / trained_k: Saerens et al. 2002, doi:10.1162/089976602753284446,
    equation 2.4; for two classes Elkan 2001, theorem 2. Valid when only the class frequencies changed, not the rows
    within a class. Raises BadData when the shares belong to other classes.
    """
    if shares is None:
        return ()
    if shares.strangers:
        message = f"classes {list(shares.strangers)} were rebalanced, and the target has none of that name"
        raise BadData.at("task classify, prior: corrected", f"{message}; prepare the dataset again")
    pairs = zip(shares.given, shares.trained, strict=True)
    return tuple(math.log(given / trained) if given and trained else 0.0 for given, trained in pairs)

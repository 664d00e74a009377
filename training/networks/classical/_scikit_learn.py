"""scikit-learn estimators in place of a network, saved in the skops format, which contains no code."""

from __future__ import annotations

import io
import re
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import skops.io
from numpy.typing import NDArray

from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData
from millstream.training.estimator import Estimator, column_names, gains, log

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TREE = "sklearn.tree._tree.Tree"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_IDENTITY = re.compile(r'"__id__": (\d+)')


class Scikit(Estimator):
    """A scikit-learn classifier or regressor; `classes` is the number of classes, 0 for a numeric target."""

    def __init__(self, blank: Any, classes: int) -> None:
        super().__init__()
        self.blank = blank
        self.classes = classes

    def learn(self, x_BD: NDArray[Any], y_B: NDArray[Any], weight_B: NDArray[np.float32]) -> None:
        weighted = {} if np.all(weight_B == 1) else {"sample_weight": weight_B}
        self.fitted = self.blank.fit(x_BD, y_B, **weighted)

    def scores(self, x_BD: NDArray[Any]) -> NDArray[Any]:
        if not self.classes:
            return np.asarray(self.fitted.predict(x_BD)).reshape(len(x_BD), -1)
        # a class without a training row has no column in predict_proba, and probability 0
        probability_BK = np.zeros((len(x_BD), self.classes))
        probability_BK[:, self.fitted.classes_.astype(int)] = self.fitted.predict_proba(x_BD)
        return log(probability_BK)

    def figures(self, signature: Signature) -> dict[str, Figure]:
        found: dict[str, Figure] = {}
        if hasattr(self.fitted, "feature_importances_"):
            found |= gains(self.fitted.feature_importances_, signature)
        if hasattr(self.fitted, "tree_"):
            # here, since a registered model predicts without matplotlib
            from millstream.tracking.figures.tree import tree

            found["tree"] = tree(self.fitted, column_names(signature), signature.classes)
        return found

    def dump(self) -> bytes:
        return canonical(skops.io.dumps(self.fitted))

    def restore(self, content: bytes) -> None:
        """Raises BadData for a tree with indices out of bounds; skops refuses all types but scikit-learn's own."""
        self.fitted = skops.io.loads(content, trusted=[_TREE])
        # one tree, a list of trees, or per round one tree per class
        for estimator in np.ravel(getattr(self.fitted, "estimators_", [self.fitted])):
            if hasattr(estimator, "tree_"):
                _check_tree(estimator.tree_)


def _check_tree(tree: Any) -> None:
    """scikit-learn follows the indices of a tree without bounds checks, so a loaded tree is validated here."""
    inner = tree.children_left != -1
    own = np.arange(tree.node_count)
    for children in (tree.children_left, tree.children_right):
        # a child comes after its parent, so that every path ends
        if not np.all(np.where(inner, (children > own) & (children < tree.node_count), children == -1)):
            raise BadData.at("model", "a tree of the estimator points outside itself; the file is damaged or forged")
    if not np.all((tree.feature < tree.n_features) & (~inner | (tree.feature >= 0))):
        raise BadData.at(
            "model", "a tree of the estimator reads columns that are not there; the file is damaged or forged"
        )


def canonical(content: bytes) -> bytes:
    """A byte-identical archive for the same model.

    skops names objects by memory address and writes timestamps; here objects are numbered in the order in which the
    schema mentions them, and the timestamp is constant.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = members.pop("schema.json").decode()
    numbers: dict[str, str] = {}
    for found in _IDENTITY.finditer(schema):
        numbers.setdefault(found[1], str(len(numbers)))
    renamed = {_renamed(name, numbers): data for name, data in members.items()}
    schema = _IDENTITY.sub(lambda found: f'"__id__": {numbers[found[1]]}', schema)
    schema = re.sub(r'"(\d+)(\.[a-z]+)"', lambda found: f'"{numbers.get(found[1], found[1])}{found[2]}"', schema)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in [("schema.json", schema.encode()), *sorted(renamed.items())]:
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED, compresslevel=1)
    return out.getvalue()


def _renamed(name: str, numbers: dict[str, str]) -> str:
    stem, dot, ending = name.partition(".")
    return f"{numbers.get(stem, stem)}{dot}{ending}"

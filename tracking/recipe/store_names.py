"""Names that the tracking store takes: of experiments and registered models, and of params."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Container

LONGEST_NAME = 250
"""Letters of a name that every database of MLflow's takes."""
_DIGITS = 8
_NOT_IN_ADDRESSES = re.compile(r"[:?@\x00-\x1f\x7f]")
"""What MLflow refuses in the name of a model, or reads in `models:/NAME/VERSION` and `models:/NAME@ALIAS` as no part
of the name."""


def registered_name(recipe: str) -> str:
    """MLflow takes no slash in the name of a registered model."""
    return recipe.replace("/", ".")


def unfit(recipe: str) -> str | None:
    """Why no experiment and no registered model can be named after a recipe, with what to do; None where they can."""
    advice = f"{recipe!r} names the experiment and the registered model: rename the file"
    if found := _NOT_IN_ADDRESSES.search(recipe):
        return f"{advice}, without {found[0]!r}"
    if len(recipe) > LONGEST_NAME:
        return f"{advice}, with at most {LONGEST_NAME} letters instead of {len(recipe)}"
    if not recipe.strip() or recipe.startswith("..") or recipe == ".":
        return f"{advice}, so that it begins with a letter or digit"
    return None


def param_name(path: str, taken: Container[str] = ()) -> str:
    """`path` as the name of a param: with `_` for what MLflow does not take, cut to `LONGEST_NAME` letters.

    A name that was cut, or that is in `taken`, ends with digits that follow from the whole path, so that no two paths
    have one name.
    """
    clean = "".join(one if one.isalnum() or one in "_-./ :" else "_" for one in path)
    if posixpath.normpath(clean) != clean or clean.startswith(("..", "/")) or clean == ".":
        clean = re.sub(r"[/.]", "_", clean)  # it would lead elsewhere as the path of a file
    if len(clean) <= LONGEST_NAME and clean not in taken:
        return clean
    digits = hashlib.sha256(path.encode()).hexdigest()[:_DIGITS]
    return f"{clean[: LONGEST_NAME - _DIGITS - 1]}-{digits}"

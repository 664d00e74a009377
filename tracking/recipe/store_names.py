"""Valid MLflow names for experiments, registered models and params."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Container

LONGEST_NAME = 250
"""Characters of a name that fit every MLflow database."""
_DIGITS = 8
_NOT_IN_ADDRESSES = re.compile(r"[:?@\x00-\x1f\x7f]")
"""Characters that MLflow refuses in a model name, or parses as separators in `models:/NAME/VERSION` and
`models:/NAME@ALIAS`."""


def registered_name(recipe: str) -> str:
    """Name of the registered model; MLflow refuses a slash in it."""
    return recipe.replace("/", ".")


def unfit(recipe: str) -> str | None:
    """Why the recipe's name fits no experiment or registered model, with the remedy; None if it does."""
    advice = f"{recipe!r} names the experiment and the registered model: rename the file"
    if match := _NOT_IN_ADDRESSES.search(recipe):
        return f"{advice}, without {match[0]!r}"
    if len(recipe) > LONGEST_NAME:
        return f"{advice}, with at most {LONGEST_NAME} letters instead of {len(recipe)}"
    if not recipe.strip() or recipe.startswith("..") or recipe == ".":
        return f"{advice}, so that it begins with a letter or digit"
    return None


def param_name(path: str, taken: Container[str] = ()) -> str:
    """`path` as the name of a param: `_` replaces what MLflow refuses, cut to `LONGEST_NAME` characters.

    A name that was cut, or that is in `taken`, ends with a hash of the whole path, so that names stay unique.
    """
    clean = "".join(letter if letter.isalnum() or letter in "_-./ :" else "_" for letter in path)
    if posixpath.normpath(clean) != clean or clean.startswith(("..", "/")) or clean == ".":
        clean = re.sub(r"[/.]", "_", clean)  # as a file path it would leave the folder
    if len(clean) <= LONGEST_NAME and clean not in taken:
        return clean
    digits = hashlib.sha256(path.encode()).hexdigest()[:_DIGITS]
    return f"{clean[: LONGEST_NAME - _DIGITS - 1]}-{digits}"

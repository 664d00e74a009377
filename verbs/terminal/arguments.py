"""What is asked for: settings, a recipe, a study, a dataset version; or all that is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millstream.tracking.dataset.version import Dataset
    from millstream.tracking.settings import Settings


def settings() -> Settings:
    """What the environment says: home, store, mirror, tracking."""
    from millstream.tracking.settings import Settings

    return Settings.read(os.environ)


def workplace() -> Settings:
    """The same, for a verb that writes below its home. Raises BadEnvironment when that cannot be made."""
    return settings().with_home()


def dataset(name: str) -> Dataset:
    from millstream.tracking.dataset.version import Dataset

    with looking() as held:
        return Dataset.open(name, held.store, held.cache)


@contextmanager
def looking() -> Iterator[Settings]:
    """The settings, for a verb that reads a dataset, and needs no home if that is found elsewhere.

    Raises BadEnvironment in the place of BadData, when nothing can be in the home since it cannot be made.
    """
    from millstream.tracking.errors import BadData

    held = settings()
    try:
        yield held
    except BadData:
        held.with_home()
        raise

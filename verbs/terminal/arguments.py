"""Settings of the environment, for verbs that write below the home and for verbs that only read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millstream.tracking.dataset.version import Dataset
    from millstream.tracking.settings import Settings


def settings() -> Settings:
    """Settings from the environment: home, store, mirror, tracking."""
    from millstream.tracking.settings import Settings

    return Settings.read(os.environ)


def workplace() -> Settings:
    """The settings, for a verb that writes below the home. Raises BadEnvironment when that cannot be created."""
    return settings().with_home()


def dataset(name: str) -> Dataset:
    from millstream.tracking.dataset.version import Dataset

    with looking() as held:
        return Dataset.open(name, held.store, held.cache)


@contextmanager
def looking() -> Iterator[Settings]:
    """The settings, for a verb that reads a dataset; the home is optional if the dataset is elsewhere.

    Raises BadEnvironment instead of BadData when the home cannot be created.
    """
    from millstream.tracking.errors import BadData

    held = settings()
    try:
        yield held
    except BadData:
        held.with_home()
        raise

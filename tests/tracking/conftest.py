"""What tests of runs share: a recipe to run, and a home."""

from __future__ import annotations

import pytest

from millstream.tracking.recipe.loader import load
from millstream.tracking.settings import Settings
from tests.tracking.recipes import write


@pytest.fixture
def located(tmp_path):
    return load(str(write(tmp_path)))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One home for tests that look at their own runs alone: a fresh store takes a second."""
    return Settings.read({"MILLSTREAM_HOME": str(tmp_path_factory.mktemp("home"))})

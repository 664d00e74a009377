"""What all tests share: a Spark session for those that ask for one, and settings that touch nobody's home."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

from tracking.settings import Settings

MIRROR = "MILLSTREAM_MIRROR"

# how long an example takes says something about the machine, and nothing about the code
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of the origin files are left out, by name and not as skipped, where there is no mirror."""
    if os.environ.get(MIRROR):
        return
    without = [item for item in items if item.get_closest_marker("mirror")]
    config.hook.pytest_deselected(items=without)
    items[:] = [item for item in items if item not in without]


@pytest.fixture(scope="session")
def session_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for the whole session, with a space in its path."""
    return tmp_path_factory.mktemp("mill stream")


@pytest.fixture(scope="session")
def spark(session_home: Path):
    from pipelines.session import session

    settings = Settings.read({"MILLSTREAM_HOME": str(session_home)})
    running = session("local[2]", settings)
    yield running
    running.stop()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home of its own for each test."""
    return Settings.read({"MILLSTREAM_HOME": str(tmp_path / "home"), MIRROR: os.environ.get(MIRROR, "")})


@pytest.fixture(scope="session")
def soak() -> bool:
    """Whether faults are to be tried in full numbers."""
    return bool(os.environ.get("MILLSTREAM_SOAK"))


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory):
    """A real S3 server on loopback, which this process and those that it starts can reach."""
    from tests.s3 import S3

    server = S3(tmp_path_factory.mktemp("s3"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server
    server.stop()

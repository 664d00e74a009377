import pytest

from millstream.tracking.errors import WrongRecipe
from millstream.tracking.settings import Settings, sqlite_file


@pytest.mark.parametrize("name", ["plain", "with space", "50%", "a%20b", "what?", "#1"])
def test_the_default_store_is_a_file_in_its_home_whatever_that_is_called(tmp_path, name):
    settings = Settings.read({"MILLSTREAM_HOME": f"{tmp_path / name}/"})
    assert settings.home == tmp_path / name
    assert sqlite_file(settings.tracking_uri) == tmp_path / name / "tracking.db"


def test_a_store_elsewhere_has_a_file_only_if_it_is_sqlite(tmp_path):
    assert sqlite_file(f"sqlite:///{tmp_path}/runs.db?timeout=60") == tmp_path / "runs.db"
    assert sqlite_file("postgresql://me@host/runs") is None


@pytest.mark.bad_input
@pytest.mark.parametrize("name", ["MILLSTREAM_HOME", "MILLSTREAM_MIRROR"])
def test_the_home_of_nobody_is_refused(name):
    with pytest.raises(WrongRecipe, match="give the whole path") as refused:
        Settings.read({name: "~nobody-of-this-name/mill"})
    assert refused.value.faults[0].where == name


def test_checkpoints_lie_under_home_or_in_another_folder_and_have_copies_in_a_bucket(tmp_path):
    home = {"MILLSTREAM_HOME": str(tmp_path)}
    for given, folder, copies in (
        ("", tmp_path / "checkpoints", None),
        (f"{tmp_path}/runs", tmp_path / "runs", None),
        (f"file://{tmp_path}/runs", tmp_path / "runs", None),
        ("s3a://bucket/runs/", tmp_path / "checkpoints", "s3://bucket/runs/7"),
    ):
        settings = Settings.read({**home, "MILLSTREAM_CHECKPOINTS": given})
        found = settings.checkpoint_copies("7")
        assert (settings.checkpoints, str(found) if found else None) == (folder, copies)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("MILLSTREAM_CHECKPOINTS", "hdfs://host/runs", "expected a folder, or s3://"),
        ("MILLSTREAM_LEASE_S", "0.5", "expected seconds from 1 to 3600"),
        ("MILLSTREAM_LEASE_S", "soon", "expected seconds from 1 to 3600"),
        ("MILLSTREAM_LEASE_S", "nan", "expected seconds from 1 to 3600"),
    ],
)
def test_a_place_or_a_time_that_would_not_do_is_refused(name, value, expected):
    with pytest.raises(WrongRecipe, match=expected) as refused:
        Settings.read({name: value})
    assert refused.value.faults[0].where == name

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

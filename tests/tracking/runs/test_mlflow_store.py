import random
import time

import pytest

from millstream.tracking.errors import BadEnvironment, WrongRecipe
from millstream.tracking.runs.mlflow_store import experiment, open_store
from millstream.tracking.runs.store_errors import shown
from millstream.tracking.settings import Settings
from tests.forkserver import python

OPEN = """
import sys
from millstream.tracking.settings import Settings
from millstream.tracking.runs.mlflow_store import experiment, open_store
settings = Settings.read({"MILLSTREAM_HOME": sys.argv[1]})
client = open_store(settings)
print(experiment(client, settings, "one"))
"""


def test_experiments_are_of_models_and_none_of_generative_ai(settings):
    client = open_store(settings)
    before = client.create_experiment("before")  # as it was made without the tag
    for name in ("before", "new"):
        found = client.get_experiment(experiment(client, settings, name))
        assert found.tags["mlflow.experimentKind"] == "custom_model_development"
    assert experiment(client, settings, "before") == before
    client.set_experiment_tag(before, "mlflow.experimentKind", "forecasting")
    experiment(client, settings, "before")
    assert client.get_experiment(before).tags["mlflow.experimentKind"] == "forecasting"  # chosen by somebody


@pytest.mark.fault
def test_processes_open_a_fresh_store_at_once(tmp_path, soak):
    for attempt in range(20 if soak else 1):
        home = str(tmp_path / f"home {attempt}")
        opened = [python("-c", OPEN, home) for _ in range(8 if soak else 4)]
        outputs = [one.communicate() for one in opened]
        assert [one.returncode for one in opened] == [0] * len(opened), outputs
        assert len({out for out, _ in outputs}) == 1


@pytest.mark.fault
def test_a_store_whose_maker_was_killed_is_made_by_the_next_one(tmp_path, soak):
    draws = random.Random(7)
    for attempt in range(40 if soak else 2):
        home = tmp_path / f"home {attempt}"
        maker = python("-c", OPEN, str(home))
        while not (home / ".tracking.db.making").exists() and maker.poll() is None:
            time.sleep(0.001)
        time.sleep(draws.uniform(0, 1.0))
        maker.kill()
        maker.wait()
        another = python("-c", OPEN, str(home))
        out, err = another.communicate()
        assert (another.returncode, out) == (0, "1\n"), err
        assert not (home / ".tracking.db.making").exists()


@pytest.mark.bad_input
def test_a_store_of_files_is_refused_with_what_to_set(tmp_path):
    settings = Settings.read({"MILLSTREAM_HOME": str(tmp_path), "MLFLOW_TRACKING_URI": f"file:{tmp_path}/runs"})
    with pytest.raises(WrongRecipe, match="sqlite:///FILE"):
        open_store(settings)


@pytest.mark.fault
def test_a_server_that_is_not_there_is_reported_within_ten_seconds(tmp_path):
    settings = Settings.read({"MILLSTREAM_HOME": str(tmp_path), "MLFLOW_TRACKING_URI": "http://me:secret@127.0.0.1:9"})
    started = time.monotonic()
    with pytest.raises(BadEnvironment, match="no tracking server answers") as refused:
        open_store(settings)
    assert time.monotonic() - started < 60  # it gives up at all; the ten seconds are the socket's own time-out
    assert "secret" not in str(refused.value)


@pytest.mark.fault
def test_a_damaged_store_is_reported_and_left_as_it_is(tmp_path):
    (tmp_path / "tracking.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(BadEnvironment, match="does not answer"):
        open_store(Settings.read({"MILLSTREAM_HOME": str(tmp_path)}))
    assert (tmp_path / "tracking.db").read_bytes().startswith(b"no database")


@pytest.mark.security
def test_an_address_is_shown_without_its_password():
    assert shown("postgresql://me:secret@host/db") == "postgresql://***@host/db"
    assert shown("sqlite:///a file.db") == "sqlite:///a file.db"

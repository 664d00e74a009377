import shutil
import sqlite3
from contextlib import closing

import mlflow
import pytest
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from millstream.tracking.runs import artifact_paths, model_logging
from millstream.tracking.runs.metric_spool import file_of, send
from millstream.tracking.runs.mlflow_store import experiment, open_store
from millstream.tracking.runs.run import Run
from millstream.tracking.settings import Settings
from tests.forkserver import python
from tests.tracking.runs.test_model_logging import logged


def of(home):
    return Settings.read({"MILLSTREAM_HOME": str(home)})


def files(home):
    return sorted(path.relative_to(home) for path in home.rglob("*") if path.is_file())


def addresses(settings):
    """All that the store has at a place of this machine."""
    found = []
    with closing(sqlite3.connect(settings.home / "tracking.db")) as store:
        for table, column in artifact_paths._ADDRESSES:
            found += [one for (one,) in store.execute(f"SELECT {column} FROM {table}") if one]
    return [one for one in found if "/artifacts/" in one]


@pytest.mark.fault
def test_a_home_that_was_moved_is_read_and_written_at_its_new_place(settings, located, tmp_path):
    _, uri = logged(settings, located, 0.9)
    moved = of(settings.home.rename(tmp_path / "mill stream 2"))
    assert (model_logging.model_folder(uri, moved) / "model.json").read_text() == "{}"
    run, _ = logged(moved, located, 0.95)
    assert {item.path for item in run.client.list_artifacts(run.id)} >= {"recipe.yaml", "model"}
    assert not settings.home.exists()
    assert run.client.get_model_version_by_alias("mine", "champion").run_id == run.id
    # for those who read the store without this package
    assert {one.startswith(moved.home.as_uri()) for one in addresses(moved)} == {True}


@pytest.mark.fault
def test_a_home_that_was_copied_has_artifacts_of_its_own(settings, located, tmp_path):
    _, uri = logged(settings, located, 0.9)
    shutil.copytree(settings.home, tmp_path / "copy")
    copy, before = of(tmp_path / "copy"), files(settings.home)
    (found,) = settings.home.glob("artifacts/*/*/artifacts/model/data/model/model.json")
    found.write_text("changed since")
    assert (model_logging.model_folder(uri, copy) / "model.json").read_text() == "{}"
    logged(copy, located, 0.95)
    assert files(settings.home) == before


@pytest.mark.fault
def test_a_store_that_another_place_of_the_home_has_corrected_is_read_here_as_well(settings, located, tmp_path):
    first, uri = logged(settings, located, 0.9)
    elsewhere = tmp_path / "of a container"
    settings.home.rename(elsewhere)
    open_store(of(elsewhere))  # what a process in the container does meanwhile
    elsewhere.rename(settings.home)
    with sqlite3.connect(settings.home / "tracking.db") as store:
        (written,) = store.execute("SELECT artifact_uri FROM runs").fetchone()
    assert written.startswith(elsewhere.as_uri())
    mlflow.set_tracking_uri(settings.tracking_uri)  # as it is in the process that has opened it before
    repository = get_artifact_repository(written)
    assert {item.path for item in repository.list_artifacts()} >= {"recipe.yaml", "model"}
    first.text("late.txt", "still here")
    assert not elsewhere.exists()
    assert (model_logging.model_folder(uri, settings) / "model.json").read_text() == "{}"


@pytest.mark.fault
def test_a_model_that_waited_for_its_store_is_sent_from_the_new_place_of_its_home(settings, located, tmp_path):
    run = Run.start(settings, located)
    (run.folder / "mlflow-model").mkdir()
    (run.folder / "mlflow-model" / "MLmodel").write_text("flavors: {}\n")
    run.spool.add_model(run.folder / "mlflow-model", None)
    run.spool._end.set()  # nothing was sent
    run.spool._out.close()
    run._hold.release()
    moved = of(settings.home.rename(tmp_path / "moved"))
    client = open_store(moved)
    assert send(client, file_of(moved, run.id)) == 1
    assert [item.path for item in client.list_artifacts(run.id, "model")] == ["model/MLmodel"]


def test_a_link_to_a_home_is_that_home(settings, located, tmp_path):
    _, uri = logged(settings, located, 0.9)
    before = addresses(settings)
    (tmp_path / "link").symlink_to(settings.home)
    assert (model_logging.model_folder(uri, of(f"{tmp_path / 'link'}/")) / "model.json").exists()
    assert addresses(settings) == before


def test_an_experiment_of_somebody_else_stays_where_it_is(settings, tmp_path):
    client = open_store(settings)
    theirs = client.create_experiment("theirs", artifact_location=(tmp_path / "artifacts" / "1").as_uri())
    run = client.create_run(theirs)
    client.log_text(run.info.run_id, "mine", "note.txt")
    assert (tmp_path / "artifacts" / "1" / run.info.run_id / "artifacts" / "note.txt").read_text() == "mine"


def test_stores_of_homes_apart_share_the_artifacts_beside_their_file(tmp_path, located):
    both = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'shared' / 'tracking.db'}"}
    one, other = (Settings.read({"MILLSTREAM_HOME": str(tmp_path / name), **both}) for name in ("one", "other"))
    _, uri = logged(one, located, 0.9)
    assert (model_logging.model_folder(uri, other) / "model.json").exists()
    assert len(list((tmp_path / "shared" / "artifacts" / "mine").iterdir())) == 1


@pytest.mark.parametrize("name", ["a?b", "a%20b", "ü#b it's"])
def test_a_home_may_have_any_name(tmp_path, name):
    settings = of(tmp_path / name)
    client = open_store(settings)
    run = client.create_run(experiment(client, settings, "mlp/small"))
    client.log_text(run.info.run_id, "here", "note.txt")
    assert {"note.txt", "tracking.db"} <= {path.name for path in settings.home.rglob("*")}
    assert [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(settings.home)] == []


START = """
import sys
from millstream.tracking.recipe.loader import load
from millstream.tracking.runs.run import Run
from millstream.tracking.settings import Settings
Run.start(Settings.read({"MILLSTREAM_HOME": sys.argv[1]}), load(sys.argv[2])).finish()
"""


def test_a_home_of_a_relative_path_is_below_the_current_folder(tmp_path, located):
    process = python("-c", START, "my home/", str(located.file), cwd=tmp_path)
    process.communicate()
    assert process.returncode == 0
    (recipe,) = (tmp_path / "my home").rglob("recipe.yaml")
    assert recipe.is_file()
    assert Run.start(of(tmp_path / "my home"), located).finish()

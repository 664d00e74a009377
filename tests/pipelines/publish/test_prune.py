import json

import pytest
from mlflow.entities import Dataset as Input
from mlflow.entities import DatasetInput

from millstream.pipelines.publish.prune import prune
from millstream.tracking.dataset.manifest import FILE, Split
from millstream.tracking.dataset.version import versions
from millstream.tracking.errors import BadData, BadEnvironment
from millstream.tracking.runs.mlflow_store import open_store
from millstream.tracking.settings import Settings
from tests.pipelines.published import manifest_of


@pytest.fixture
def settings(tmp_path):
    return Settings.read({"MILLSTREAM_HOME": str(tmp_path / "home")})


def published(settings, name, *made, latest, parents=()):
    """Versions of a dataset, the first one the oldest."""
    from pathlib import Path

    for at, version in enumerate(made):
        folder = Path(settings.store) / name / version
        folder.mkdir(parents=True)
        splits = {"train": Split(rows=0, class_counts={}, digest=f"digest-{version}", shards=())}
        manifest = manifest_of(splits, name=name, version=version)
        manifest = manifest.model_copy(update={"created": f"2026-01-0{at + 1}T00:00:00Z", "parents": parents})
        (folder / FILE).write_text(manifest.text(), encoding="utf-8")
    (Path(settings.store) / name / "latest").symlink_to(latest)


def left(settings, name="a"):
    return [one.name for one in versions(settings.store, name)]


def test_what_is_named_anywhere_stays_and_shows_by_whom(settings):
    published(settings, "a", *[f"v{at}" for at in range(8)], latest="v1")
    published(settings, "b", "w0", latest="w0", parents=("a/v2",))
    client = open_store(settings)
    experiment = client.create_experiment("some")
    tagged = client.create_run(experiment, tags={"dataset_version": "v3"}).info.run_id
    logged = client.create_run(experiment).info.run_id
    given = Input(name="a", digest="digest-v4", source_type="local", source=json.dumps({}))
    client.log_inputs(logged, [DatasetInput(given, [])])
    client.create_registered_model("model")
    client.create_model_version("model", "/nowhere", tags={"dataset_version": "v5"})
    dry = prune(settings, None, keep=1, yes=False)
    assert {one.version: one.why for one in dry.stays} == {
        "v1": ("latest",),
        "v2": ("parent of b/w0",),
        "v3": (f"run {tagged}",),
        "v4": (f"run {logged}",),
        "v5": ("model model/1",),
        "v7": ("one of the newest 1",),
        "w0": ("latest", "one of the newest 1"),
    }
    assert [one.version for one in dry.goes] == ["v0", "v6"]
    assert left(settings) == [f"v{at}" for at in range(8)]
    done = prune(settings, "a", keep=1, yes=True)
    assert [one.version for one in done.goes] == ["v0", "v6"]
    assert left(settings) == ["v1", "v2", "v3", "v4", "v5", "v7"]
    assert prune(settings, "a", keep=1, yes=True).goes == ()


def test_what_a_deleted_run_names_stays_since_it_may_be_restored(settings):
    published(settings, "a", *[f"v{at}" for at in range(5)], latest="v4")
    client = open_store(settings)
    kept, deleted = (client.create_experiment(name) for name in ("kept", "deleted"))
    one = client.create_run(kept, tags={"dataset_version": "v1"}).info.run_id
    other = client.create_run(deleted, tags={"dataset_version": "v2"}).info.run_id
    logged = client.create_run(kept).info.run_id
    given = Input(name="a", digest="digest-v3", source_type="local", source=json.dumps({}))
    client.log_inputs(logged, [DatasetInput(given, [])])
    client.delete_run(one)
    client.delete_run(logged)
    client.delete_experiment(deleted)
    found = prune(settings, "a", keep=1, yes=False)
    assert [one.version for one in found.goes] == ["v0"]
    assert {stays.version: stays.why for stays in found.stays if stays.version != "v4"} == {
        "v1": (f"run {one}",),
        "v2": (f"run {other}",),
        "v3": (f"run {logged}",),
    }


def test_as_many_of_the_newest_stay_as_were_requested(settings):
    published(settings, "a", "v0", "v1", "v2", "v3", latest="v3")
    assert [one.version for one in prune(settings, "a", keep=3, yes=False).goes] == ["v0"]


@pytest.mark.fault
def test_a_version_with_a_damaged_manifest_is_left_to_be_looked_at(settings, tmp_path):
    published(settings, "a", "v0", "v1", latest="v1")
    damaged = tmp_path / "home" / "datasets" / "a" / "v0" / FILE
    damaged.write_text(damaged.read_text().replace("digest-v0", "digest-v9"))
    found = prune(settings, None, keep=1, yes=True)
    assert found.goes == ()
    assert left(settings) == ["v0", "v1"]


@pytest.mark.fault
def test_nothing_goes_when_the_tracking_store_cannot_be_reached(settings):
    published(settings, "a", "v0", "v1", latest="v1")
    gone = settings.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    with pytest.raises(BadEnvironment, match=r"127\.0\.0\.1:9"):
        prune(gone, None, keep=1, yes=True)
    assert left(settings) == ["v0", "v1"]


@pytest.mark.bad_input
def test_a_missing_dataset_is_refused_with_those_that_there_are(settings):
    published(settings, "a", "v0", latest="v0")
    with pytest.raises(BadData, match=r"\['a'\]"):
        prune(settings, "b", keep=1, yes=False)


def test_the_command_removes_nothing_until_it_is_confirmed(here, settings, tmp_path):
    published(settings, "a", "v0", "v1", latest="v1")
    dry = here(tmp_path / "home", "prune")
    assert (dry["done"], [one["version"] for one in dry["goes"]]) == (False, ["v0"])
    assert left(settings) == ["v0", "v1"]
    assert here(tmp_path / "home", "prune", "a", "--yes")["done"]
    assert left(settings) == ["v1"]

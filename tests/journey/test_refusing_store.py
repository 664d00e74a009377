"""Trainings whose tracking server refuses, fails or closes the connection: each of its calls, each kind of answer."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from millstream.tracking.health import checks
from millstream.tracking.runs.mlflow_store import Client, open_store
from millstream.tracking.settings import Settings
from tests.tracking.front import ANSWERS, FOREVER, PASSWORD, Front
from tests.tracking.server import Server
from tests.training.fitted import rows

RECIPE = {
    "about": "a test",
    "data": {"source": {"name": "digits"}},
    "task": {"name": "classify", "target": "label"},
    "network": {"name": "mlp/mlp", "hidden": [4]},
    "fit": {"epochs": 1, "batch_size": 32, "seed": 7, "engine": "arrow", "threads": 1},
    "pass": {"test/accuracy": ">= 0"},
}
pytestmark = [pytest.mark.fault, pytest.mark.security]


@dataclass
class Place:
    """A front before a server, a home, and a recipe with its dataset."""

    front: Front
    home: Path
    words: tuple[str, ...]
    log: Path

    @property
    def settings(self) -> Settings:
        return Settings.read({"MILLSTREAM_HOME": str(self.home), "MLFLOW_TRACKING_URI": self.front.uri})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("refusing")
    server = Server(folder)
    server.start()
    front = Front(server.uri)
    (folder / "small.yaml").write_text(yaml.safe_dump(RECIPE))
    words = (str(folder / "small.yaml"), "--dataset", str(rows(folder).folder), "--fresh")
    yield Place(front, folder / "home", ("train", *words), folder / "server.log")
    front.stop()
    server.stop()


@pytest.fixture(scope="module")
def calls(place: Place) -> list[str]:
    """The kinds of calls that a training makes, in their order; each is seen once before anything is refused."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", place.front.uri)
        patch.setenv("MILLSTREAM_HOME", str(place.home))
        from millstream.__main__ import cli

        for _ in range(2):  # the second one has a champion to beat
            with pytest.raises(SystemExit) as ended:
                cli([*place.words, "--json"], prog_name="millstream")
            assert ended.value.code == 0
    return list(dict.fromkeys(place.front.calls))


def whole(client: Client, run_id: str) -> dict[str, object]:
    """What a store holds of a run, without what differs between runs."""
    run = client.get_run(run_id)
    paths = [one.path for one in client.list_artifacts(run_id)]
    inside = [one.path for name in ("model", "figures") for one in client.list_artifacts(run_id, name)]
    (version,) = client.search_model_versions(f"run_id = '{run_id}'")
    return {
        "status": run.info.status,
        "params": run.data.params,
        "metrics": set(run.data.metrics),
        "tags": {name for name in run.data.tags if not name.startswith("mlflow.")},
        "inputs": [one.dataset.digest for one in run.inputs.dataset_inputs],
        "artifacts": sorted(paths + inside),
        "model": version.name,
    }


def tried(here, place: Place, call: str, answer: str, times: int, wanted: dict[str, object]) -> int:
    """The exit code of a training whose server answers so; and what it must leave, whatever came of it."""
    with place.front.failing(call, answer, times):
        found = here(place.home, *place.words, code=(0, 4), MLFLOW_TRACKING_URI=place.front.uri)
    stderr = found["stderr"]
    assert "Traceback" not in stderr
    assert PASSWORD not in json.dumps(found)
    if "faults" in found:
        (fault,) = found["faults"]
        assert fault["where"] == f"http://***@127.0.0.1:{place.front.port}"
        assert "tracking server" in fault["message"]
        assert "epoch" not in stderr  # nobody has trained for nothing
        left = checks(place.settings, send_spool=True)  # at most the end of a run that had begun
        assert [one for one in left if one.name == "metrics" and not one.ok] == []
        return 4
    waiting = list((place.home / "spool").glob("*.jsonl"))
    assert all(PASSWORD not in file.read_text() for file in waiting)
    if not found["model_uri"].startswith("models:/"):
        assert (Path(found["model_uri"]) / "MLmodel").exists()
        assert f"the model is kept in {found['model_uri']}" in stderr
    if waiting:
        assert "`millstream doctor --send` sends it" in stderr
        (sent,) = [one for one in checks(place.settings, send_spool=True) if one.name == "metrics"]
        assert sent.ok, sent.found
    assert list((place.home / "spool").iterdir()) == []
    assert whole(open_store(place.settings), found["run_id"]) == wanted
    return 0


SAMPLE = [
    ("runs/create", "403", FOREVER, 4),
    ("experiments/search", "host", 1, 4),
    ("PUT model", "page", 1, 0),
    ("model-versions/create", "429", FOREVER, 0),
    ("runs/log-batch", "closed", 1, 0),
]
"""A call of each part of a training; `make test-all` tries every call with every kind of answer."""


@pytest.mark.parametrize(("call", "answer", "times", "code"), SAMPLE, ids=str)
def test_a_training_is_refused_before_it_begins_or_ends_with_its_model(here, place, calls, call, answer, times, code):
    assert call in calls
    client = open_store(place.settings)
    assert tried(here, place, call, answer, times, whole(client, reference(client))) == code


@pytest.mark.slow
@pytest.mark.timeout(10_000)
@pytest.mark.parametrize("times", [1, FOREVER], ids=["once", "for good"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_each_call_may_be_answered_in_each_way(here, place, calls, answer, times):
    client = open_store(place.settings)
    wanted, wrong, codes = whole(client, reference(client)), [], set()
    for call in calls:
        if answer == "page" and call.startswith("PUT ") and call != "PUT model":
            continue  # MLflow takes any page for a file that arrived; whether the model did is looked at
        try:
            codes.add(tried(here, place, call, answer, times, wanted))
        except Exception as error:  # the others are looked at as well
            wrong.append(f"{call}: {error}")
    assert wrong == []
    assert 0 in codes


def reference(client: Client) -> str:
    """The second training, which nobody refused anything."""
    found = client.search_runs(
        [client.get_experiment_by_name("small").experiment_id], order_by=["attributes.start_time ASC"], max_results=2
    )
    return str(found[1].info.run_id)

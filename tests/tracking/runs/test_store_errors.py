import pytest
import requests
from mlflow.exceptions import ErrorCode, MlflowException, RestException

from millstream.tracking.comparison.finished_runs import of_model
from millstream.tracking.errors import BadData, BadEnvironment, WrongRecipe
from millstream.tracking.runs.champion import Entry
from millstream.tracking.runs.metric_spool import Spool, file_of, send
from millstream.tracking.runs.mlflow_store import Client, experiment, open_store
from millstream.tracking.runs.model_logging import describe
from millstream.tracking.runs.registry import register
from millstream.tracking.runs.run import Run
from millstream.tracking.runs.store_errors import StoreError, answering, shown
from millstream.tracking.settings import Settings
from tests.tracking.started_runs import left

URI = "http://anna:s3cret@host/mlflow"


def http_error(status):
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status} Client Error: x for url: {URI}/api", response=response)


def plain(status):
    """MLflow's message for an answer that is no JSON."""
    return MlflowException(f"API request to endpoint /api failed with error code {status} != 200. Response body: ''")


def retried(status):
    error = MlflowException(f"API request to {URI}/api failed with exception too many {status} error responses")
    error.__context__ = requests.exceptions.RetryError(f"too many {status} error responses")
    return error


@pytest.mark.parametrize(
    ("error", "status", "is_gone", "words"),
    [
        (http_error(401), 401, False, "MLFLOW_TRACKING_TOKEN"),
        (plain(403), 403, False, "permission"),
        (RestException({"error_code": "PERMISSION_DENIED", "message": "no"}), 403, False, "permission"),
        (MlflowException("... 403 != 200. Response body: 'Invalid Host header - x'"), 0, False, "--allowed-hosts"),
        (plain(404), 404, False, "MLFLOW_TRACKING_URI"),
        (http_error(413), 413, False, "client_max_body_size"),
        (retried(429), 429, True, "too many requests"),
        (retried(503), 503, True, "look at its log"),
        (requests.ConnectionError("Connection refused"), 0, True, "start it, or unset MLFLOW_TRACKING_URI"),
        (requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED"), 0, True, "MLFLOW_TRACKING_SERVER_CERT_PATH"),
        (ValueError(f"odd answer of {URI}"), 0, False, "refuses (odd answer of http://***@host/mlflow)"),
    ],
    ids=str,
)
@pytest.mark.security
def test_what_a_server_answers_is_reported_in_words_and_without_its_password(error, status, is_gone, words):
    with pytest.raises(StoreError) as refused, answering(URI):
        raise error
    assert (refused.value.status, refused.value.is_gone) == (status, is_gone)
    assert refused.value.exit_code == 4
    assert str(refused.value).startswith("http://***@host/mlflow: ")
    assert words in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.security
@pytest.mark.parametrize("secret", ["s3cret", "p%40ss", "with/slash", "with@sign", "with:colon"])
def test_no_part_of_an_address_reveals_its_password(secret, monkeypatch):
    uri = f"http://anna:{secret}@localhost"
    with pytest.raises(StoreError) as refused, answering(uri):
        raise ValueError(f"nonnumeric port: '{secret}@localhost' in {uri}/api")
    assert secret not in str(refused.value)
    assert secret not in shown(uri)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    with pytest.raises(StoreError) as refused, answering("http://localhost"):
        raise ValueError("header Bearer t0ken")
    assert "t0ken" not in str(refused.value)


@pytest.mark.parametrize("port", ["", ":9", ":nonsense"])
@pytest.mark.security
def test_a_server_that_is_not_there_is_reported_without_the_password_whatever_the_port(tmp_path, port):
    uri = f"http://anna:s3cret@127.0.0.1{port}"
    with pytest.raises(BadEnvironment) as refused:
        open_store(Settings.read({"MILLSTREAM_HOME": str(tmp_path), "MLFLOW_TRACKING_URI": uri}))
    assert "s3cret" not in str(refused.value)


def test_a_deleted_experiment_is_refused_with_what_restores_it(settings, located):
    client = open_store(settings)
    client.delete_experiment(experiment(client, settings, located.name))
    with pytest.raises(BadEnvironment, match="mlflow experiments restore --experiment-id 1"):
        Run.start(settings, located)


def test_a_run_that_was_deleted_while_it_trained_ends_and_is_sent_when_it_is_restored(settings, located, capsys):
    with Run.start(settings, located) as run:
        run.client.delete_run(run.id)
        run.metrics({"train/loss": 1.0}, step=1)
        run.tag(passed="true")
        run.text("notes.txt", "x")
    assert "must be in the 'active' state" in capsys.readouterr().err
    with pytest.raises(StoreError):
        send(run.client, file_of(settings, run.id))
    run.client.restore_run(run.id)
    assert send(run.client, file_of(settings, run.id)) == 3
    found = run.client.get_run(run.id)
    assert (found.info.status, found.data.tags["passed"]) == ("FINISHED", "true")
    assert found.data.metrics["train/loss"] == 1.0


class Refusing:
    """Refuses one call by its name, so many times."""

    def __init__(self, client, name, times, error):
        self.client, self.name, self.times, self.error = client, name, times, error
        self.sizes = []

    def __getattr__(self, name):
        def call(*values, **more):
            self.sizes += [len(more["metrics"])] if "metrics" in more else []
            if name == self.name and self.times > 0:
                self.times -= 1
                raise self.error
            return getattr(self.client, name)(*values, **more)

        return call


def spooled(settings, located):
    run_id = left(settings, located, "refused")
    spool = Spool(settings, run_id)
    for step in range(4):
        spool.add({"train/loss": float(step)}, step)
    spool.add_tags({"passed": "true"})
    spool.add({"train/loss": 4.0}, 4)
    spool._out.close()
    return run_id, file_of(settings, run_id)


def test_what_a_store_refuses_waits_and_keeps_nothing_else_back(settings, located):
    run_id, file = spooled(settings, located)
    client = open_store(settings)
    refusing = Client(Refusing(client._client, "set_tag", 1, plain(403)), client.uri)
    with pytest.raises(StoreError, match="error code 403"):
        send(refusing, file)
    assert file.with_suffix(".sent").read_text() == "6 4"
    assert len(client.get_metric_history(run_id, "train/loss")) == 5
    assert send(client, file) == 1
    assert client.get_run(run_id).data.tags["passed"] == "true"
    assert not file.exists()
    assert not file.with_suffix(".sent").exists()


def test_a_request_that_is_too_large_is_sent_in_parts(settings, located):
    run_id, file = spooled(settings, located)
    client = open_store(settings)
    refusing = Refusing(client._client, "log_batch", 2, plain(413))
    assert send(Client(refusing, client.uri), file) == 6
    assert refusing.sizes[:3] == [4, 2, 1]
    assert len(client.get_metric_history(run_id, "train/loss")) == 5


def test_a_store_that_is_gone_is_not_called_again(settings, located):
    _, file = spooled(settings, located)
    client = open_store(settings)
    refusing = Refusing(client._client, "log_batch", 9, retried(503))
    with pytest.raises(StoreError) as refused:
        send(Client(refusing, client.uri), file)
    assert refused.value.is_gone
    assert refusing.sizes == [4]


def test_a_kept_model_that_somebody_removed_is_reported_and_no_empty_one_is_registered(settings, located, tmp_path):
    run_id = left(settings, located, "removed")
    spool = Spool(settings, run_id)
    spool.add_model(settings.home / "checkpoints" / run_id / "mlflow-model", entry("mine", 0.5))
    spool._out.close()
    client = open_store(settings)
    with pytest.raises(StoreError, match="was kept here, and is gone"):
        send(client, file_of(settings, run_id))
    assert client.search_registered_models() == []


def entry(recipe, accuracy):
    marks, metrics = {"test/accuracy": ">= 0"}, {"test/accuracy": accuracy}
    return Entry(recipe=recipe, about="x" * 6000, dataset_version="v", marks=marks, metrics=metrics)


def registered(settings, located, accuracy):
    """A run with a model of this accuracy, registered."""
    with Run.start(settings, located) as run:
        run.metrics({"test/accuracy": accuracy})
        run.text("model/MLmodel", "flavors: {}\n")
    register(run.client, run.id, entry("mine", accuracy))
    return run


def champion(client):
    return client.get_model_version_by_alias("mine", "champion").run_id


@pytest.mark.parametrize("lost", ["run", "files"])
def test_a_champion_that_cannot_be_measured_or_read_is_beaten(settings, located, lost):
    first = registered(settings, located, 0.9)
    assert champion(first.client) == registered(settings, located, 0.8).client.get_run(first.id).info.run_id
    if lost == "run":
        first.client.delete_run(first.id)
        first.client._client._tracking_client.store._hard_delete_run(first.id)  # as `mlflow gc` does
    else:
        first.client._client._tracking_client._get_artifact_repo(first.id).delete_artifacts("model")
    assert champion(first.client) == first.id
    second = registered(settings, located, 0.5)
    assert champion(second.client) == second.id


@pytest.mark.parametrize("name", ["get_registered_model", "get_run", "get_model_version"])
def test_a_champion_is_not_beaten_by_a_store_that_does_not_answer(settings, located, name):
    first = registered(settings, located, 0.9)
    with Run.start(settings, located) as second:
        second.text("model/MLmodel", "flavors: {}\n")
    refusing = Refusing(first.client._client, name, 9, plain(404))  # a proxy's: MLflow itself sends nothing
    with pytest.raises(StoreError):
        register(Client(refusing, first.client.uri), second.id, entry("mine", 0.1))
    assert champion(first.client) == first.id


def test_only_a_store_that_has_looked_reports_that_something_is_missing(settings, located, monkeypatch):
    client = open_store(settings)
    for ask, kind in (
        (lambda: Run.resume(settings, located, "0" * 32), WrongRecipe),
        (lambda: of_model("models:/mine/1", settings), BadData),
        (lambda: describe("models:/mine/1", settings), BadData),
    ):
        with pytest.raises(kind):
            ask()
    denied = MlflowException("Permission denied", error_code=ErrorCode.Value("PERMISSION_DENIED"))

    def refuse(*values, **more):
        raise RestException({"error_code": "PERMISSION_DENIED", "message": denied.message})

    for name in ("get_run", "get_model_version", "get_model_version_download_uri"):
        monkeypatch.setattr(type(client._client), name, refuse)
    for ask in (lambda: Run.resume(settings, located, "0" * 32), lambda: of_model("models:/mine/1", settings)):
        with pytest.raises(StoreError):
            ask()

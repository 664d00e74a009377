import os

import pandas as pd
import pytest

from millstream.tracking.errors import BadData
from millstream.tracking.runs import model_logging
from millstream.tracking.runs.run import Run
from tests.forkserver import python
from tests.training.signatures import number


def logged(settings, located, accuracy, version="v1", **options):
    with Run.start(settings, located) as run:
        run.metrics({"test/accuracy": accuracy, "test/loss": 0.5})
        folder = settings.checkpoints / run.id / "model"
        folder.mkdir(parents=True)
        (folder / "model.json").write_text("{}")
        given = {
            "metrics": {"test/accuracy": accuracy, "test/loss": 0.5},
            "dataset_version": version,
            "inputs": (number("a"),),
            "outputs": {"prediction": "string"},
            "example": pd.DataFrame({"a": [1.0, 2.0]}),
            "modules": ("millstream.tracking.errors",),
        }
        uri = model_logging.log_model(run, folder, **given, **options)
    return run, uri


def test_a_model_that_is_not_registered_stays_with_its_run(settings, located):
    first, _ = logged(settings, located, 0.91)
    alone, uri = logged(settings, located, 0.95, register=False)
    assert first.client.get_model_version_by_alias("mine", "candidate").run_id == first.id
    assert uri == f"runs:/{alone.id}/model"


def test_a_model_has_a_signature_of_inputs_and_outputs(settings, located):
    _, uri = logged(settings, located, 0.9)
    found = model_logging.describe(uri, settings)
    assert (found.inputs, found.outputs) == ({"a": "double"}, {"prediction": "string"})
    assert (model_logging.model_folder(uri, settings) / "model.json").exists()


def test_requirements_name_no_local_build(settings, located, monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.13.0+cpu")
    _, uri = logged(settings, located, 0.9)
    found = (model_logging.describe(uri, settings).folder / "requirements.txt").read_text().splitlines()
    assert "pydantic==2.13.0" in found
    assert not [one for one in found if "+" in one]


LOOK = """
import sys
from millstream.tracking.runs import model_logging
from millstream.tracking.settings import Settings
settings = Settings.read({"MILLSTREAM_HOME": sys.argv[1]})
print((model_logging.model_folder(sys.argv[2], settings) / "model.json").read_text())
"""


def test_a_process_that_looked_at_a_model_leaves_no_copy_behind(settings, located, tmp_path):
    _, uri = logged(settings, located, 0.9)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    out, err = python("-c", LOOK, str(settings.home), uri, env={**os.environ, "TMPDIR": str(scratch)}).communicate()
    assert out.strip() == "{}", err
    assert [one.name for one in scratch.iterdir() if not one.name.startswith("db_init_lock")] == []


@pytest.mark.bad_input
def test_a_model_that_is_not_there_is_refused_with_how_models_are_named(settings, located):
    logged(settings, located, 0.9)
    for uri in ("models:/mine/99", "models:/nobody@champion", "runs:/0/model", "nowhere"):
        with pytest.raises(BadData, match="models:/NAME/VERSION"):
            model_logging.describe(uri, settings)

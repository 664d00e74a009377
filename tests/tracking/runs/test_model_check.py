"""A model that does not predict from its own code is reported, and registered nevertheless."""

import pandas as pd
import pytest

from millstream.tracking.runs import model_check, model_code, model_logging
from millstream.tracking.runs.run import Run
from tests.training.signatures import number

LOADER = "def _load_pyfunc(path):\n    return Model()\n\nclass Model:\n    def predict(self, rows, params=None):\n{}"
PREDICTS = "        return rows\n"
NEEDS_MORE = "        import tokenizers\n        return rows\n"


def logged(settings, located, monkeypatch, tmp_path, body):
    """A model whose loader has this body of `predict`, registered with the check."""
    written = model_code.write

    def with_loader(modules, folder):
        package = written(modules, folder)
        (package / "pyfunc.py").write_text(LOADER.format(body))
        return package

    monkeypatch.setattr(model_code, "write", with_loader)
    model_check._kinds().clear()
    with Run.start(settings.model_copy(update={"check_models": True}), located) as run:
        folder = tmp_path / "model"
        folder.mkdir()
        (folder / "model.json").write_text("{}")
        uri = model_logging.log_model(
            run,
            folder,
            metrics={},
            dataset_version=None,
            inputs=(number("a"),),
            outputs={"a": "double"},
            example=pd.DataFrame({"a": [1.0, 2.0]}),
            modules=("millstream.tracking.errors",),
        )
    return run.client.get_run(run.id).data.tags["self_contained"], uri


def test_a_model_that_predicts_its_own_example_passes(settings, located, monkeypatch, tmp_path, capsys):
    assert logged(settings, located, monkeypatch, tmp_path, PREDICTS) == ("true", "models:/mine/1")
    assert capsys.readouterr().err == ""


@pytest.mark.bad_input
def test_a_module_that_needs_more_than_is_required_is_named(settings, located, monkeypatch, tmp_path, capsys):
    fault, uri = logged(settings, located, monkeypatch, tmp_path, NEEDS_MORE)
    assert fault == "ImportError: millstream.pyfunc imports tokenizers, which the model does not require"
    assert uri == "models:/mine/1"
    reported = capsys.readouterr().err
    assert fault in reported
    assert "it is registered" in reported

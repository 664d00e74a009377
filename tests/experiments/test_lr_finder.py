import pytest

from millstream.experiments import lr_finder as finding
from millstream.experiments.lr_finder import below_the_best, find
from millstream.tracking.errors import TrainingFailed, WrongRecipe
from tests.training.fitted import Remembered, fitted, located, rows


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return rows(tmp_path_factory.mktemp("rows"))


def found(folder, dataset, what, **fit):
    run = Remembered(folder / "run")
    return find(what, located(folder, fit=fit), run, dataset), run


def test_a_tenth_of_the_best_rate_is_proposed():
    assert below_the_best([(1e-3, 2.0), (1e-2, 1.0), (1e-1, 0.5), (1.0, 3.0)]) == 0.01


@pytest.mark.bad_input
@pytest.mark.parametrize("course", [[], [(1e-3, 1.0), (1e-2, 1.1), (1e-1, 7.0)]], ids=["none", "rising"])
def test_a_loss_that_never_falls_proposes_nothing(course):
    with pytest.raises(TrainingFailed, match="no rate lowers the loss"):
        below_the_best(course)


def test_the_proposed_rate_learns_where_others_do_not(tmp_path, dataset):
    result, run = found(tmp_path / "find", dataset, "lr", optimizer={"name": "sgd", "lr": 1.0})
    again, _ = found(tmp_path / "again", dataset, "lr", optimizer={"name": "sgd", "lr": 0.001})
    assert result.tried == again.tried  # whatever rate the recipe has
    assert result.field == "fit.optimizer.lr"
    assert run.figures.keys() == {"rate_range"}
    assert run.tags == {"find": "lr"}
    rates = [rate for rate, _ in result.tried]
    assert rates == sorted(rates)
    losses = {
        rate: fitted(tmp_path / f"{rate}", dataset, fit={"optimizer": {"name": "sgd", "lr": rate}}).metrics["test/loss"]
        for rate in (result.value, result.value / 100)
    }
    assert losses[result.value] < 0.8 * losses[result.value / 100]


def test_no_batch_is_proposed_that_has_more_rows_than_the_split(tmp_path, dataset):
    rows = dataset.manifest.splits["train"].rows
    result, _ = found(tmp_path, dataset, "batch_size", accumulate=2)
    assert [size for size, _ in result.tried] == [2, 4, 8, 16, 32, 64]
    assert (result.field, result.value) == ("fit.batch_size", 64)
    assert result.value <= rows < 2 * result.value


def test_no_batch_is_tried_that_would_take_more_than_its_share(tmp_path, dataset, monkeypatch):
    monkeypatch.setattr(finding, "MEMORY_SHARE", -1.0)
    result, _ = found(tmp_path, dataset, "batch_size")
    assert [size for size, _ in result.tried] == [1]


@pytest.mark.bad_input
def test_a_model_that_is_fitted_at_once_has_no_rate(tmp_path, dataset):
    run = Remembered(tmp_path / "run")
    with pytest.raises(WrongRecipe, match="takes no steps over batches"):
        find("lr", located(tmp_path, network={"name": "classical/tree"}), run, dataset)

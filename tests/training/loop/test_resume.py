import shutil
from types import SimpleNamespace

import pytest
import yaml

from millstream.tracking.dataset.version import sha256_of
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.recipe.loader import load
from millstream.tracking.runs.mlflow_store import open_store
from millstream.tracking.runs.run import Run
from millstream.tracking.settings import Settings
from millstream.training.checkpoints import archive
from millstream.training.loop.entry_point import here_as_rank
from millstream.training.loop.resume import again, begin
from millstream.training.loop.train import train
from tests.training.fitted import FIT, rows

RECIPE = {
    "about": "a test",
    "data": {"source": {"name": "digits"}},
    "task": {"name": "classify", "target": "label"},
    "network": {"name": "mlp/mlp", "hidden": [8]},
    "fit": FIT | {"keep": "best", "optimizer": {"name": "adam", "lr": 0.01}},
    "pass": {"test/accuracy": ">= 0.1"},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A home with a dataset version and a recipe, of which `recipe` makes variants."""
    folder = tmp_path_factory.mktemp("resumed")
    settings = Settings.read({"MILLSTREAM_HOME": str(folder / "home")})
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(RECIPE))
    return SimpleNamespace(
        settings=settings,
        dataset=rows(settings.home / "datasets"),
        recipe=lambda *sets: load(str(file), sets=sets),
        client=open_store(settings),
    )


def trained(place, run, *sets, stop=False, **options):
    """The training of a run to its end, or one that is stopped there."""
    try:
        with run:
            found = train(place.recipe(*sets), run, place.dataset, **options)
            if stop:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    return found


def new(place, *sets, **more):
    return begin(place.recipe(*sets), place.settings, place.dataset, fresh=True, say=str, **more)


def resumed(place, run_id, *sets, say=str):
    return again(place.recipe(*sets), place.settings, place.dataset, run_id, say=say)


def content(place, run_id):
    """Hashes of all that is registered of a run's model."""
    model = place.settings.home / "artifacts" / "mine" / run_id / "artifacts" / "model"
    return {str(path.relative_to(model)): sha256_of(path) for path in model.rglob("*") if path.is_file()}


@pytest.mark.parametrize("more", [(), ("fit.epochs=6",)], ids=["same", "longer"])
def test_a_finished_run_stays_as_it_is_and_a_run_of_its_own_continues_from_it(place, more):
    first = trained(place, new(place))
    before, metrics = content(place, first.run_id), place.client.get_run(first.run_id).data.metrics
    messages = []
    second = trained(place, resumed(place, first.run_id, *more, say=messages.append), *more)
    assert second.run_id != first.run_id
    assert messages[0] == f"run {first.run_id} is finished and stays as it is: a run of its own resumes from step 20"
    kept, own = place.client.get_run(first.run_id), place.client.get_run(second.run_id)
    assert (kept.info.status, kept.data.params["fit.epochs"], kept.data.metrics) == ("FINISHED", "4", metrics)
    assert content(place, first.run_id) == before
    assert own.data.params["fit.epochs"] == ("6" if more else "4")
    assert own.data.tags["resumed_from"] == first.run_id
    assert second.model_uri != first.model_uri
    assert second.weights == trained(place, new(place, *more), *more, register=False).weights
    # a model is champion by its own numbers
    champion = place.client.get_model_version_by_alias("mine", "champion")
    best = max(
        place.client.search_model_versions("name = 'mine'"), key=lambda one: (accuracy(place, one), -one.version)
    )
    assert accuracy(place, champion) == accuracy(place, best)


def accuracy(place, version):
    return place.client.get_run(version.run_id).data.metrics["test/accuracy"]


@pytest.mark.fault
def test_a_run_that_was_stopped_is_resumed_as_itself_with_its_own_settings_alone(place):
    stopped = trained(place, new(place), stop=True, register=False)
    longer = resumed(place, stopped.run_id, "fit.epochs=5")
    assert (longer.id == stopped.run_id, longer.resumed) == (False, True)
    trained(place, longer, "fit.epochs=5", stop=True, register=False)
    # the same command again
    third = resumed(place, stopped.run_id, "fit.epochs=5")
    assert third.id == longer.id
    third.finish("KILLED")
    same = resumed(place, stopped.run_id)
    assert same.id == stopped.run_id
    same.finish()


@pytest.mark.fault
def test_a_model_that_was_registered_before_a_stop_is_the_one_that_stays(place):
    first = trained(place, new(place), stop=True)
    before = content(place, first.run_id)
    (model,) = (place.settings.checkpoints / first.run_id).glob("mlflow-model/MLmodel")
    model.write_text("changed")
    again_ = trained(place, resumed(place, first.run_id))
    assert again_.model_uri == first.model_uri
    assert content(place, first.run_id) == before


@pytest.mark.fault
def test_a_training_that_cannot_be_resumed_here_is_never_restarted_silently(place):
    sets, messages = ("fit.seed=12",), []
    first = trained(place, new(place, *sets), *sets, stop=True, register=False)
    place.client.set_tag(first.run_id, "hosts", "another")
    shutil.rmtree(place.settings.checkpoints / first.run_id)
    second = begin(place.recipe(*sets), place.settings, place.dataset, fresh=False, say=messages.append)
    assert second.id != first.run_id
    assert messages[0].startswith(f"run {first.run_id} of host another was interrupted, and no checkpoint of it is in ")
    assert messages[0].endswith(": a new run begins")
    second.finish()


@pytest.mark.bad_input
def test_a_run_whose_checkpoints_are_gone_is_not_resumed(place):
    first = trained(place, new(place), register=False)
    before = place.client.get_run(first.run_id)
    shutil.rmtree(place.settings.checkpoints / first.run_id)
    with pytest.raises(WrongRecipe, match=r"no checkpoint of it is in .*leave --resume out to train from the start"):
        resumed(place, first.run_id)
    after = place.client.get_run(first.run_id)
    assert (after.info.status, after.data.metrics, after.data.tags) == (
        before.info.status,
        before.data.metrics,
        before.data.tags,
    )


@pytest.mark.bad_input
def test_a_resume_that_is_refused_leaves_the_run_as_it_was(place):
    first = trained(place, new(place), register=False)
    runs = len(place.client.search_runs([place.client.get_run(first.run_id).info.experiment_id]))
    with pytest.raises(WrongRecipe, match=r"network: .*in the run to be resumed"):
        resumed(place, first.run_id, "network.hidden=[9]")
    found = place.client.get_run(first.run_id)
    assert found.info.status == "FINISHED"
    assert len(place.client.search_runs([found.info.experiment_id])) == runs


def test_a_run_that_was_handed_over_before_its_training_needs_no_checkpoint(place):
    run = Run.start(place.settings, place.recipe())
    run.hand_over()
    own = resumed(place, run.id)
    assert own.id == run.id
    own.finish()


@pytest.mark.fault
def test_a_restart_by_torchrun_continues_what_fresh_began(place):
    sets = ("fit.seed=11",)
    old = trained(place, new(place, *sets), *sets, stop=True, register=False)
    fresh = trained(place, new(place, *sets), *sets, stop=True, register=False)
    assert old.run_id != fresh.run_id
    restarted = new(place, *sets, restarted=True)
    assert restarted.id == fresh.run_id
    restarted.finish("FAILED")
    # neither the one that failed nor the one from before the command
    another = new(place, *sets, restarted=True)
    assert another.id not in (old.run_id, fresh.run_id)
    another.finish()


@pytest.mark.parametrize(("count", "is_restarted"), [(None, False), ("0", False), ("2", True)])
def test_a_restart_is_known_by_the_count_of_torchrun(place, monkeypatch, count, is_restarted):
    monkeypatch.delenv("TORCHELASTIC_RESTART_COUNT", raising=False)
    if count is not None:
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", count)
    attempts = []

    def open_run(restarted):
        attempts.append(restarted)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        here_as_rank(place.recipe(), place.settings, place.dataset, open_run)
    assert attempts == [is_restarted]


def test_a_copy_of_a_checkpoint_is_whole_or_not_there(tmp_path):
    archive.save({"epoch": 3}, tmp_path / "one" / "step-00000003.ckpt")
    (tmp_path / "other").mkdir()
    archive.copy(tmp_path / "one" / "step-00000003.ckpt", tmp_path / "other")
    archive.copy(tmp_path / "one" / "best.ckpt", tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["step-00000003.ckpt"]
    assert archive.load(tmp_path / "other" / "step-00000003.ckpt") == {"epoch": 3}


@pytest.mark.fault
def test_a_run_is_resumed_in_another_home_from_what_lies_in_the_store(place, tmp_path):
    sets, messages = ("fit.seed=13",), []
    one = place.settings.model_copy(update={"checkpoint_place": f"memory://{tmp_path.name}/runs"})
    other = one.model_copy(update={"home": tmp_path / "other"}).with_home()
    run = begin(place.recipe(*sets), one, place.dataset, fresh=True, say=str)
    first = trained(place, run, *sets, stop=True, register=False)
    resumed = begin(place.recipe(*sets), other, place.dataset, fresh=False, say=messages.append)
    assert messages == [f"run {run.id} was interrupted and resumes from step 20; --fresh starts again"]
    second = trained(place, resumed, *sets, register=False)
    assert (second.run_id, second.weights, second.metrics) == (first.run_id, first.weights, first.metrics)
    assert "lease.2" in place.client.get_run(run.id).data.params
    # a finished run is where another one begins
    longer = again(place.recipe(*sets, "fit.epochs=5"), one, place.dataset, run.id, say=str)
    assert (longer.resumed, longer.id != run.id) == (True, True)
    longer.finish()


@pytest.mark.fault
def test_a_restart_of_ranks_that_left_no_checkpoint_in_the_store_is_the_same_run(place, tmp_path):
    sets = ("fit.seed=14",)
    one = place.settings.model_copy(update={"checkpoint_place": f"memory://{tmp_path.name}/runs"})
    run = begin(place.recipe(*sets), one, place.dataset, fresh=True, say=str)
    run.finish("KILLED")
    assert begin_again(place, one, *sets, restarted=True) == run.id
    assert begin_again(place, one, *sets, restarted=False) != run.id


def begin_again(place, settings, *sets, restarted):
    run = begin(place.recipe(*sets), settings, place.dataset, fresh=False, restarted=restarted, say=str)
    run.finish("KILLED")
    return run.id

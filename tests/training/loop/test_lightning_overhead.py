import pytest
import pytorch_lightning as lightning
import torch

from millstream.training.callbacks.callback_group import HOOKS
from millstream.training.checkpoints import archive
from millstream.training.loop import lightning_overhead
from millstream.training.loop.lightning_overhead import LeanLoop
from millstream.training.optimization import flat_steps
from millstream.training.tasks.classify import Classify
from tests.training.fitted import fitted, images, rows
from tests.training.loop.test_train import EVERYTHING, NETWORK

GAN = {
    "task": {"name": "adversarial", "discriminator_steps": 2},
    "network": {"name": "generative/gan", "latent": 4, "channels": 4},
    "fit": {"optimizer": {"name": "adam"}, "optimizers": {"discriminator": {"name": "rmsprop"}}, "checkpoint_every": 2},
}


class Calls(lightning.Callback):
    """All hooks as they come, with Lightning's counts at that time."""

    def __init__(self):
        self.found = []
        for hook in HOOKS:
            if hook not in ("on_save_checkpoint", "on_load_checkpoint"):
                setattr(self, hook, self._noting(hook))

    def _noting(self, hook):
        def note(trainer, task, *arguments, **named):
            counts = (trainer.global_step, trainer.current_epoch, trainer.fit_loop.batch_idx, trainer.is_last_batch)
            batch = [(one.epoch, one.index) for one in arguments if hasattr(one, "mask_B")]
            outputs = [{name: str(value) for name, value in one.items()} for one in arguments if isinstance(one, dict)]
            self.found.append((hook, counts, batch, outputs, task._current_fx_name))

        return note


@pytest.fixture
def off(monkeypatch):
    """Lightning's own loop, and steps per parameter."""

    def turn():
        monkeypatch.setattr(lightning_overhead, "LEAN", False)
        monkeypatch.setattr(flat_steps, "ELEMENTWISE", ())  # the task's optimizers are made by `flattened`

    return turn


def kinds():
    for name, fit in EVERYTHING.items():
        yield pytest.param(rows, {"fit": {**fit, "clip": None, "checkpoint_every": 2}, "network": NETWORK}, id=name)
    yield pytest.param(images, GAN, id="two optimizers")


@pytest.mark.parametrize(("dataset_of", "sections"), kinds())
def test_a_training_is_lightnings_own_to_the_bit_call_by_call_and_either_resumes_the_other(
    tmp_path, off, dataset_of, sections
):
    sections["fit"]["keep_last"] = 1000
    dataset, calls, expected = dataset_of(tmp_path), Calls(), Calls()
    lean = fitted(tmp_path / "lean", dataset, calls, **sections)
    assert isinstance(lean.trainer.fit_loop.epoch_loop, LeanLoop)
    assert lean.trainer.fit_loop.epoch_loop.is_lean
    inside = archive.newest_first(lean.job.folder)[-2]  # within an epoch
    off()
    plain = fitted(tmp_path / "plain", dataset, expected, **sections)
    assert not isinstance(plain.trainer.fit_loop.epoch_loop, LeanLoop)
    assert calls.found == expected.found
    assert [one.name for one in archive.newest_first(lean.job.folder)] == [
        one.name for one in archive.newest_first(plain.job.folder)
    ]
    from_lean = fitted(tmp_path / "from lean", dataset, start=inside, **sections)
    own = plain.job.folder / inside.name
    for one in (plain, from_lean):
        assert one.weights == lean.weights
        assert one.metrics == lean.metrics
        assert one.history.curves == lean.history.curves
    found, wanted = archive.load(inside), archive.load(own)
    assert found.keys() == wanted.keys()
    assert (found["loops"], found["lr_schedulers"]) == (wanted["loops"], wanted["lr_schedulers"])
    for one, other in zip(found["optimizer_states"], wanted["optimizer_states"], strict=True):
        torch.testing.assert_close(one["state"], other["state"], rtol=0, atol=0)
        assert one["param_groups"] == other["param_groups"]


def test_a_checkpoint_without_flat_steps_and_lean_loop_is_resumed_with_them(tmp_path, monkeypatch):
    dataset, sections = rows(tmp_path), {"fit": {"checkpoint_every": 2, "keep_last": 1000}, "network": NETWORK}
    with monkeypatch.context() as without:
        without.setattr(lightning_overhead, "LEAN", False)
        without.setattr(flat_steps, "ELEMENTWISE", ())
        plain = fitted(tmp_path / "plain", dataset, **sections)
    inside = archive.newest_first(plain.job.folder)[-2]
    again = fitted(tmp_path / "again", dataset, start=inside, **sections)
    assert again.weights == plain.weights
    assert again.history.curves == plain.history.curves


class OwnHook(lightning.Callback):
    def on_train_batch_start(self, trainer, task, batch, index):
        self.is_lean = trainer.fit_loop.epoch_loop.is_lean


def test_a_task_with_a_hook_of_its_own_around_a_batch_has_lightnings_loop(tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(Classify, "on_train_batch_start", lambda task, batch, index: found.append(index), raising=False)
    seen = OwnHook()
    trained = fitted(tmp_path / "own", rows(tmp_path), seen, fit={"epochs": 1})
    assert found == list(range(trained.trainer.num_training_batches))
    assert not seen.is_lean

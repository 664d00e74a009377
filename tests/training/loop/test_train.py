import dataclasses
import math
from pathlib import Path

import pytest
import pytorch_lightning as lightning
import torch

from millstream.tracking.dataset.records import Step
from millstream.tracking.errors import BadData, TrainingFailed, WrongRecipe
from millstream.training.checkpoints import archive
from millstream.training.optimization.batch_norm import batch_norms
from millstream.training.tasks.classify import Classify
from tests.training.fitted import BATCHES, ROWS, Steps, fitted, images, job_of, rows

EVERYTHING = {
    "all at once": {
        "epochs": 8,
        "init": "he",
        "optimizer": {"name": "sgd", "lr": 0.3, "momentum": 0.9, "nesterov": True},
        "schedule": {"name": "plateau", "patience": 1, "by": 0.5, "least": 0.02},
        "warm_up": 0.2,
        "accumulate": 4,
        "l1": 1e-4,
        "l2": 1e-4,
        "clip": 1.0,
        "average": {"name": "ema", "decay": 0.8},
        "early_stop": {"patience": 3, "least": 0.02},
        "keep": "best",
    },
    "the mean of the last epochs": {
        "average": {"name": "swa", "start": 0.5},
        "schedule": {"name": "onecycle"},
        "precision": "bfloat16",
        "validate_every": 2,
    },
    "few weights": {"optimizer": {"name": "lbfgs", "iterations": 4}},
    "accumulated squares": {"optimizer": {"name": "adagrad"}, "schedule": {"name": "step"}},
    "own step sizes": {"optimizer": {"name": "adadelta"}, "schedule": {"name": "cosine"}},
}
NETWORK = {"name": "mlp/mlp", "hidden": [8], "dropout": 0.2, "norm": "batch"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return rows(tmp_path_factory.mktemp("rows"))


@pytest.mark.fault
@pytest.mark.parametrize("name", EVERYTHING)
def test_a_run_resumed_from_any_checkpoint_ends_as_an_unbroken_one(tmp_path, dataset, name, soak):
    fit = EVERYTHING[name] | {"checkpoint_every": 1, "keep_last": 1000}
    whole = fitted(tmp_path / "whole", dataset, fit=fit, network=NETWORK)
    taken = archive.newest_first(whole.job.folder)
    epochs = len(whole.history.curves["train/loss"])
    assert len(taken) == epochs * BATCHES  # one a batch
    # before the first validation, right after one, inside an epoch, and when training was over
    places = taken if soak else [taken[-3], taken[-BATCHES], taken[-BATCHES - 1], taken[len(taken) // 3], taken[0]]
    for start in places:
        again = fitted(tmp_path / start.stem, dataset, start=start, fit=fit, network=NETWORK)
        assert again.weights == whole.weights, start
        assert again.metrics == whole.metrics, start
        assert again.history.curves == whole.history.curves, start


@pytest.mark.parametrize("batch_size", [16, 1])
def test_the_logged_loss_of_an_epoch_is_the_mean_over_its_samples(tmp_path, dataset, capsys, batch_size):
    # a rate so small that the weights stay: then each epoch's mean is that of the split, and no batch's is
    fit = {"epochs": 2, "batch_size": batch_size, "optimizer": {"name": "sgd", "lr": 1e-12}}
    found = fitted(tmp_path, dataset, fit=fit)
    with torch.no_grad():
        mean = float(found.job.task.rows(found.job.rows.loader("train").whole())[0].mean())
    batches = -(-ROWS["train"] // batch_size)
    ends = [(batches, pytest.approx(mean, rel=1e-5)), (2 * batches, pytest.approx(mean, rel=1e-5))]
    assert [tuple(point) for point in found.history.curves["train/loss"]] == ends
    points = [(step, values["train/loss"]) for step, values in found.run.points if "train/loss" in values]
    assert [point for point in points if point[0] % batches == 0] == ends
    assert len(points) == (2 if batch_size == 16 else 4)  # one more every 50 steps
    assert capsys.readouterr().err.count(f"train/loss {mean:.4g}") == 2


def test_training_ends_after_the_looks_that_were_not_better_and_keeps_the_best(tmp_path, dataset):
    fit = {"epochs": 9, "early_stop": {"patience": 3, "least": 100.0}, "keep": "best", "optimizer": {"name": "adam"}}
    seen = Steps()
    found = fitted(tmp_path, dataset, seen, fit=fit)
    # nothing is better by 100 than the first look
    assert len(seen.weights) == 4 * BATCHES
    courses = dict(found.history.curves)["valid/loss"]
    best = min(range(4), key=lambda epoch: courses[epoch][1])
    assert found.metrics["best/loss"] == pytest.approx(courses[best][1], rel=1e-6)
    for name, value in found.network.state_dict().items():
        assert torch.equal(value, seen.weights[(best + 1) * BATCHES - 1][name])


RISING = {"epochs": 4, "keep": "best", "direction": "max", "keep_last": 9, "optimizer": {"name": "adam", "lr": 0.03}}
"""Keeps the largest loss, so that the first epoch is the best one."""


def spoil(file):
    file.write_bytes(file.read_bytes()[:-1] + b"!")


@pytest.mark.fault
@pytest.mark.parametrize("damage", [spoil, Path.unlink], ids=["damaged", "gone"])
def test_a_run_that_lost_its_best_weights_keeps_the_best_from_there_on_and_reports_it(
    tmp_path, dataset, damage, capsys
):
    whole = fitted(tmp_path / "whole", dataset, fit=RISING)
    losses = [value for _, value in whole.history.curves["valid/loss"]]
    assert losses == sorted(losses, reverse=True)
    assert whole.metrics["best/loss"] == pytest.approx(losses[0], rel=1e-6)
    damage(whole.job.best)
    capsys.readouterr()
    again = fitted(tmp_path / "again", dataset, start=archive.path_of(whole.job.folder, 2 * BATCHES), fit=RISING)
    assert again.metrics["best/loss"] == pytest.approx(losses[2], rel=1e-6)
    stderr = capsys.readouterr().err
    assert str(again.job.best) in stderr
    assert "the best weights so far are lost: the best from here on are kept" in stderr
    assert (again.job.folder / "best.ckpt.damaged").exists() == (damage is spoil)
    assert archive.load(again.job.best)["valid/loss"] == pytest.approx(losses[2], rel=1e-6)


@pytest.mark.fault
def test_best_weights_that_are_lost_at_the_end_are_reported_with_what_to_do(tmp_path, dataset):
    class Spoils(lightning.Callback):
        def on_train_end(self, trainer, task):
            spoil(tmp_path / "first" / "run" / "best.ckpt")

    with pytest.raises(TrainingFailed, match=r"best\.ckpt: not a whole checkpoint.*with --fresh"):
        fitted(tmp_path / "first", dataset, Spoils(), fit=RISING)
    last = archive.path_of(tmp_path / "first" / "run", 4 * BATCHES)
    with pytest.raises(TrainingFailed, match=r"best\.ckpt: no best weights are kept.*with --fresh"):
        fitted(tmp_path / "again", dataset, start=last, fit=RISING)


def test_parts_of_a_batch_make_the_step_of_the_whole(tmp_path, dataset):
    fit = {"optimizer": {"name": "sgd", "lr": 0.5}, "schedule": {"name": "cosine"}}
    whole, parts = Steps(), Steps()
    one = fitted(tmp_path / "whole", dataset, whole, fit=fit)
    four = fitted(tmp_path / "parts", dataset, parts, fit=fit | {"accumulate": 4})
    assert whole.batches == parts.batches
    assert whole.batches[4] == (0, 4, 6)  # the last batch of an epoch has ten empty slots
    assert whole.rates == parts.rates
    assert one.trainer.global_step == four.trainer.global_step == 4 * BATCHES
    for after_whole, after_parts in zip(whole.weights, parts.weights, strict=True):
        for name, value in after_whole.items():
            # sums in another order: single precision
            torch.testing.assert_close(after_parts[name], value, rtol=1e-4, atol=1e-6)


def test_batch_norms_that_are_to_be_shared_by_one_process_are_reported_to_have_nobody_to_share_with(
    tmp_path, dataset, capsys
):
    message = "fit: sync_batch_norm: is about the batch of several ranks"
    plain = fitted(tmp_path / "plain", dataset, fit={"epochs": 1}, network=NETWORK)
    assert message not in capsys.readouterr().err
    # the same recipe is right with --devices, so it is no fault
    alone = fitted(tmp_path / "alone", dataset, fit={"epochs": 1, "sync_batch_norm": True}, network=NETWORK)
    assert capsys.readouterr().err.count(message) == 1
    assert alone.weights == plain.weights


def test_zeros_learn_nothing_in_a_hidden_layer(tmp_path, dataset):
    network = {"name": "mlp/mlp", "hidden": [8], "activation": "tanh"}
    zeros = fitted(tmp_path / "zeros", dataset, fit={"init": "zeros"}, network=network).network
    he = fitted(tmp_path / "he", dataset, fit={"init": "he"}, network=network).network
    assert all(torch.equal(row, zeros.layers[0].weight[0]) for row in zeros.layers[0].weight)
    assert not any(torch.equal(row, he.layers[0].weight[0]) for row in he.layers[0].weight[1:])


def test_half_the_bits_train_to_nearly_the_same_loss(tmp_path, dataset):
    full = fitted(tmp_path / "full", dataset, fit={"epochs": 8, "optimizer": {"name": "adam", "lr": 0.02}})
    half = fitted(
        tmp_path / "half",
        dataset,
        fit={"epochs": 8, "optimizer": {"name": "adam", "lr": 0.02}, "precision": "bfloat16"},
    )
    assert all(value.dtype == torch.float32 for value in half.network.parameters())
    assert half.weights != full.weights
    # bfloat16 keeps 8 bits of a number
    assert half.metrics["test/loss"] == pytest.approx(full.metrics["test/loss"], rel=0.05)


def test_maps_of_a_pixel_kept_together_train_to_the_same_weights(tmp_path):
    data = images(tmp_path)
    network = {"name": "cnn/lenet", "channels": [4, 8]}
    plain = fitted(tmp_path / "plain", data, network=network)
    together = fitted(tmp_path / "together", data, network=network, fit={"channels_last": True})
    kernels = [one for one in together.network.parameters() if one.ndim == 4]
    assert all(one.is_contiguous(memory_format=torch.channels_last) for one in kernels)
    for name, value in plain.network.state_dict().items():
        # sums come in another order
        torch.testing.assert_close(together.network.state_dict()[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_compiled_code_computes_the_same_numbers(tmp_path, dataset):
    network = {"name": "mlp/mlp", "hidden": [8], "dropout": 0.2}
    plain = fitted(tmp_path / "plain", dataset, network=network)
    compiled = fitted(tmp_path / "compiled", dataset, network=network, fit={"compile": True})
    for name, value in plain.network.state_dict().items():
        # operations are fused, and sums come in another order
        torch.testing.assert_close(compiled.network.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_a_schedule_continues_over_all_steps_behind_its_warm_up(tmp_path, dataset):
    seen = Steps()
    fit = {"warm_up": 0.25, "schedule": {"name": "cosine"}, "optimizer": {"name": "sgd", "lr": 0.6}}
    fitted(tmp_path, dataset, seen, fit=fit)
    rise, left = 5, 15
    expected = [0.6 * (step + 1) / 6 for step in range(rise)]
    expected += [0.3 * (1 + math.cos(math.pi * step / (left - 1))) for step in range(left)]
    assert seen.rates == pytest.approx(expected)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "fit", [{"keep": "best"}, {"early_stop": {"patience": 1}}, {"schedule": {"name": "plateau"}}], ids=str
)
def test_a_metric_that_is_watched_must_be_measured(tmp_path, dataset, fit):
    with pytest.raises(
        WrongRecipe,
        match=r"no such metric of this task; it measures valid/accuracy, valid/calibration_error, valid/loss",
    ):
        fitted(tmp_path, dataset, fit=fit | {"monitor": "valid/beauty"})


@pytest.mark.bad_input
@pytest.mark.parametrize("kind", ["number", "Array(number)"])
def test_an_output_that_mlflow_has_no_type_for_is_refused_before_the_training(tmp_path, dataset, monkeypatch, kind):
    monkeypatch.setattr(Classify, "outputs", {"prediction": kind})
    with pytest.raises(WrongRecipe, match=r"Classify declares the output prediction as .*number.*, which is no type"):
        job_of(tmp_path, dataset)


@pytest.mark.bad_input
def test_a_metric_that_is_misspelt_is_reported_before_the_first_step(tmp_path, dataset):
    steps = Steps()
    with pytest.raises(WrongRecipe, match=r"no such metric; did you mean valid/accuracy\?"):
        fitted(tmp_path, dataset, steps, fit={"keep": "best", "monitor": "valid/acuracy"})
    assert steps.batches == []


@pytest.mark.parametrize("fit", [{"batch_size": 8, "accumulate": 8}, {"batch_size": 1}], ids=str)
def test_norms_of_parts_of_a_single_row_take_the_statistics_that_are_there(tmp_path, dataset, fit):
    network = {"name": "mlp/mlp", "hidden": [8], "norm": "batch"}
    found = fitted(tmp_path, dataset, network=network, fit=fit | {"epochs": 1})
    (norm,) = batch_norms(found.network)
    assert norm.running_mean.tolist() == [0.0] * 8
    assert norm.running_var.tolist() == [1.0] * 8


@pytest.mark.bad_input
def test_what_watches_valid_needs_a_valid_split(tmp_path):
    from tests.datasets import make_dataset
    from tests.training.signatures import number, target

    values = {"a": [0.0, 1.0], "label": [0, 1]}
    dataset = make_dataset(tmp_path, {"train": values, "test": values}, [number("a"), target(2)])
    with pytest.raises(WrongRecipe, match=r"recipe\.yaml:\d+: keep: best, early_stop: looks at rows of valid"):
        job_of(tmp_path / "job", dataset, fit={"keep": "best", "early_stop": {"patience": 1}})


@pytest.mark.fault
def test_a_batch_that_is_not_finite_is_left_out_where_the_recipe_sets_it(tmp_path, capsys):
    dataset, seen = rows(tmp_path / "rows", spoil=[11]), Steps()
    fit = {"nan": "skip", "optimizer": {"name": "adam"}, "average": {"name": "ema", "decay": 0.5}}
    found = fitted(tmp_path / "fit", dataset, seen, fit=fit)
    same = [
        at
        for at in range(1, len(seen.weights))
        if all(torch.equal(value, seen.weights[at - 1][name]) for name, value in seen.weights[at].items())
    ]
    # once an epoch, in whichever batch the row is
    assert [at // BATCHES for at in same] == [0, 1, 2, 3]
    assert found.run.course("train/skipped")[-1] == 4
    steps = {int(found.trainer.optimizers[0].state[one]["step"]) for one in found.trainer.optimizers[0].state}
    assert steps == {4 * BATCHES - 4}
    stderr = capsys.readouterr().err
    assert stderr.count("skipped") == 4
    assert "train-11" in stderr


@pytest.mark.fault
def test_a_run_that_left_out_a_batch_continues_as_an_uninterrupted_one(tmp_path):
    dataset = rows(tmp_path / "rows", spoil=[11])
    fit = {"nan": "skip", "average": {"name": "ema", "decay": 0.5}, "checkpoint_every": 1, "keep_last": 99}
    whole = fitted(tmp_path / "whole", dataset, fit=fit)
    for start in archive.newest_first(whole.job.folder)[1::3]:
        again = fitted(tmp_path / start.stem, dataset, start=start, fit=fit)
        assert again.weights == whole.weights
        assert again.run.course("train/skipped")[-1] == whole.run.course("train/skipped")[-1] == 4


@pytest.mark.fault
@pytest.mark.parametrize("average", [None, {"name": "ema"}])
def test_a_batch_that_is_not_finite_stops_training_with_the_last_good_checkpoint(tmp_path, average):
    fit = {"checkpoint_every": 1, "average": average, "seed": 5}
    with pytest.raises(TrainingFailed, match=r"epoch 0, batch \d: the loss is nan .*train-11"):
        fitted(tmp_path / "fit", rows(tmp_path / "rows", spoil=[11]), fit=fit)
    for path in archive.newest_first(tmp_path / "fit" / "run"):
        content = archive.load(path)
        assert all(torch.isfinite(value).all() for value in content["state_dict"].values() if value.is_floating_point())


@pytest.mark.fault
def test_batches_are_not_left_out_for_ever(tmp_path):
    dataset = rows(tmp_path / "rows", spoil=range(70))
    with pytest.raises(TrainingFailed, match="11 of 11 steps were not finite, too many to be skipped"):
        fitted(tmp_path / "fit", dataset, fit={"nan": "skip"})


@pytest.mark.bad_input
def test_no_hour_is_trained_behind_a_step_that_serving_does_not_know(tmp_path):
    dataset = rows(tmp_path)
    spin = Step(name="spin", version=1, config={}, learned={}, rows_in=1, rows_out=1, seconds=0)
    manifest = dataset.manifest.model_copy(update={"steps": (spin,)})
    with pytest.raises(BadData, match="step spin: does not say how it is served, so no model can be served behind it"):
        job_of(tmp_path / "run", dataclasses.replace(dataset, manifest=manifest))

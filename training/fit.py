"""Dataset version to model: builds the Trainer, resumes, ends, and hands the model over to the run."""

from __future__ import annotations

import hashlib
import logging
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from pydantic import BaseModel
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch import nn

from tracking import models
from tracking.dataset import Dataset
from tracking.faults import TrainingFailed, WrongRecipe
from tracking.figures.learning_curves import learning_curves
from tracking.inspection import page
from tracking.manifest import Manifest
from tracking.recipe import Located
from tracking.run import Run
from tracking.settings import Settings
from training import checkpoints, serve
from training.build import Parts, parts_of
from training.callbacks.guard import Guard
from training.callbacks.keyed_draws import KeyedDraws
from training.callbacks.progress import Bar
from training.callbacks.record import FeedFigures, History, RunLogger
from training.callbacks.signals import StopOnSignal
from training.data import Splits
from training.environment import enter
from training.estimator import Estimator
from training.memory import keep_freed_memory
from training.provenance import Provenance
from training.task import Task

LOG_EVERY = 50
"""Steps between two points of a training curve, in epochs that have so many."""


class Trained(BaseModel, frozen=True):
    run_id: str
    model_uri: str
    dataset_version: str | None
    metrics: dict[str, float]
    passed: bool | None
    marks: dict[str, str]
    weights: str
    seconds: float


@dataclass(frozen=True)
class Job:
    """One training: what is trained, on what, and where its state is kept."""

    located: Located
    settings: Settings
    run: Run
    parts: Parts
    task: Task
    splits: Splits | None

    @property
    def folder(self) -> Path:
        return self.settings.checkpoints / str(self.run.id)

    @property
    def manifest(self) -> Manifest | None:
        return self.splits.dataset.manifest if self.splits else None

    @property
    def last(self) -> Path:
        return self.folder / checkpoints.LAST


def train(
    located: Located,
    settings: Settings,
    *,
    run: Run,
    dataset: Dataset | None = None,
    devices: int = 1,
    nodes: int = 1,
    resume: str | None = None,
    register: bool = True,
) -> Trained:
    """Train the recipe's network on `dataset` (none for an environment) and register the model under the recipe's name.

    With `resume` the run goes on from its last checkpoint. Without `register` the model stays with its run alone.
    Raises WrongRecipe, BadData, BadEnvironment or TrainingFailed; `Stopped` after a signal, with the state saved.
    """
    started = time.monotonic()
    if devices * nodes > 1:
        told = "training in several processes comes with a later version; leave --devices and --nodes out"
        raise WrongRecipe.at(f"--devices {devices} --nodes {nodes}", told)
    _quiet()
    keep_freed_memory()
    job = _job(located, settings, run, dataset)
    if dataset is not None:
        run.dataset(dataset.manifest, dataset.folder)
        run.text("dataset.html", page.logged(dataset))
    history = History()
    trainer = _trainer(job, history)
    if isinstance(job.task.network, Estimator):
        _fit_whole(job)
    else:
        _fit_steps(job, trainer, resume)
    metrics = _measure(job, trainer)
    passed = located.recipe.passed(metrics)
    _draw(job, history)
    model_uri = _log_model(job, metrics, passed, register)
    return Trained(
        run_id=str(run.id),
        model_uri=model_uri,
        dataset_version=dataset.manifest.version if dataset else None,
        metrics=metrics,
        passed=passed,
        marks=dict(located.recipe.marks),
        weights=weights_digest(job.task.network),
        seconds=round(time.monotonic() - started, 3),
    )


def weights_digest(network: nn.Module) -> str:
    """Hex SHA-256 over the names and bytes of all weights, in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


def _quiet() -> None:
    """Lightning's advice and its advertisements are for those who write a Trainer, not for those who start a run."""
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", module="torch")
    warnings.filterwarnings("ignore", module="torchmetrics")


def _job(located: Located, settings: Settings, run: Run, dataset: Dataset | None) -> Job:
    parts = parts_of(located)
    if parts.fit.threads:
        torch.set_num_threads(parts.fit.threads)
    environment = located.recipe.environment
    if environment is not None:
        task, splits = enter(parts, located), None
    elif dataset is not None:
        signature = parts.signature(dataset.manifest)
        task, splits = parts.build(signature), Splits(dataset, signature, parts.fit)
    else:
        raise WrongRecipe.at(located.file, "a recipe with data: is trained on a dataset version; prepare it first")
    return Job(located, settings, run, parts, task, splits)


def _trainer(job: Job, history: History) -> lightning.Trainer:
    fit = job.parts.fit
    callbacks = [
        KeyedDraws(fit.seed),
        Guard(),
        history,
        FeedFigures(),
        Bar(),
        StopOnSignal(job.last),
        *_checkpoints(job),
    ]
    return lightning.Trainer(
        max_epochs=fit.epochs,
        devices=1,
        gradient_clip_val=fit.clip if job.task.automatic_optimization else None,
        check_val_every_n_epoch=fit.validate_every,
        log_every_n_steps=min(LOG_EVERY, _steps(job)),
        logger=RunLogger(job.run),
        callbacks=callbacks,
        plugins=[checkpoints.WholeCheckpoints(Provenance.of(job.located, job.manifest))],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=str(job.folder),
        **_limits(job),
    )


def _steps(job: Job) -> int:
    """Batches of an epoch."""
    if job.manifest is None:
        rounds: Any = job.task.train_dataloader()
        return len(rounds)
    return max(1, -(-job.manifest.splits["train"].rows // job.parts.fit.batch_size))


def _limits(job: Job) -> dict[str, Any]:
    """An empty valid split is read by nobody."""
    return {"limit_val_batches": 0} if job.manifest and "valid" not in job.manifest.splits else {}


def _checkpoints(job: Job) -> list[Callback]:
    fit = job.parts.fit
    last = ModelCheckpoint(
        dirpath=job.folder,
        filename=Path(checkpoints.LAST).stem,
        every_n_train_steps=fit.checkpoint_every,
        every_n_epochs=None if fit.checkpoint_every else 1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    if fit.keep == "last":
        return [last]
    best = ModelCheckpoint(
        dirpath=job.folder,
        filename=Path(checkpoints.BEST).stem,
        monitor=fit.monitor,
        mode=fit.direction,
        save_weights_only=True,
        enable_version_counter=False,
    )
    return [best, last]


def _fit_steps(job: Job, trainer: lightning.Trainer, resume: str | None) -> None:
    found = job.last if resume and job.last.exists() else None
    try:
        trainer.fit(job.task, datamodule=job.splits, ckpt_path=found, weights_only=True)
    except torch.OutOfMemoryError as error:
        advice = f"no memory on the device ({error}); lower fit.batch_size or the network's size, then resume"
        raise TrainingFailed.at(job.located.name, advice) from error
    if job.parts.fit.keep == "best":
        job.task.load_state_dict(checkpoints.load(job.folder / checkpoints.BEST)["state_dict"])


def _fit_whole(job: Job) -> None:
    """Fit an estimator on the whole train split at once: nothing is stepped, so nothing is resumed."""
    network, splits = job.task.network, job.splits
    if not isinstance(network, Estimator) or splits is None:
        raise WrongRecipe.at(job.located.file, "an estimator is fitted on a dataset; it has no use for an environment")
    whole = splits.feed("train").whole()
    network.fit(whole.inputs, whole.truth, whole.weight_B)


def _measure(job: Job, trainer: lightning.Trainer) -> dict[str, float]:
    """Metrics of the kept weights: valid ones again under `best/`, test ones looked at this once."""
    found: dict[str, float] = {}
    if not _limits(job):
        for values in trainer.validate(job.task, datamodule=job.splits, verbose=False):
            found |= {name: float(value) for name, value in values.items()}
    for values in trainer.test(job.task, datamodule=job.splits, verbose=False):
        found |= {name: float(value) for name, value in values.items()}
    found |= {f"best/{name.removeprefix('valid/')}": v for name, v in found.items() if name.startswith("valid/")}
    job.run.metrics(found, step=trainer.global_step)
    return found


def _draw(job: Job, history: History) -> None:
    if history.curves:
        job.run.figure("learning_curves", learning_curves(history.curves))
    for name, figure in job.task.figures().items():
        job.run.figure(name, figure)
    for name, film in job.task.films().items():
        job.run.content(f"figures/{name}.gif", film)


def _log_model(job: Job, metrics: Mapping[str, float], passed: bool | None, register: bool) -> str:
    job.run.tag(passed="" if passed is None else str(passed).lower())
    dataset = job.splits.dataset if job.splits else None
    folder = job.folder / "model"
    model = serve.save(folder, job.located, job.task, dataset)
    return models.log_model(
        job.run,
        folder,
        metrics=metrics,
        dataset_version=dataset.manifest.version if dataset else None,
        inputs=model.raw_columns,
        outputs=job.task.outputs,
        example=serve.example(model, dataset),
        requirements=serve.REQUIREMENTS,
        register=register,
    )

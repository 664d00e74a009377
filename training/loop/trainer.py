"""Configures Lightning's Trainer: quiet, with keyed random numbers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Callback, Checkpoint

from millstream.tracking.runs.read_only_run import Follower
from millstream.training.callbacks.best_weights import Best
from millstream.training.callbacks.callback_group import InOne
from millstream.training.callbacks.early_stopping import StopEarly
from millstream.training.callbacks.epoch_mean import EpochMean
from millstream.training.callbacks.non_finite_guard import Guard
from millstream.training.callbacks.progress import Bar
from millstream.training.callbacks.reduce_on_plateau import LowerOnPlateau
from millstream.training.callbacks.run_logger import FeedFigures, History, RunLogger
from millstream.training.callbacks.save_checkpoint import Last
from millstream.training.callbacks.seed_each_step import KeyedDraws
from millstream.training.callbacks.signals import StopOnSignal
from millstream.training.callbacks.weight_averaging import Average
from millstream.training.checkpoints.checkpoint_io import WholeCheckpoints
from millstream.training.checkpoints.provenance import Provenance
from millstream.training.config.fit import Fit
from millstream.training.config.schedules import Plateau
from millstream.training.loop.job import Job
from millstream.training.loop.lightning_overhead import NoProfiler, PlainPrecision, lean
from millstream.training.loop.strategy import options_of

LOG_EVERY = 50
"""Steps between two points of a training curve, at most one epoch."""


def trainer(
    fit: Fit, callbacks: Iterable[Callback] = (), plugins: Iterable[Any] = (), **options: Any
) -> lightning.Trainer:
    """A Trainer without Lightning's own bar, summary, sampler and sanity check; single-process by default."""
    _quiet()
    along = [KeyedDraws(fit.seed), EpochMean(), *callbacks]
    is_plain = fit.precision == "float32"
    saving = [one for one in along if isinstance(one, Checkpoint)]
    made = lightning.Trainer(
        precision=None if is_plain else "bf16-mixed",
        plugins=[*plugins, PlainPrecision()] if is_plain else list(plugins),
        profiler=NoProfiler(),
        # checkpoint callbacks come last, as Lightning requires, which recognizes them by type
        callbacks=[InOne([one for one in along if one not in saving]), *saving],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        **{"devices": 1, **options},
    )
    return lean(made)


def fitting(
    job: Job, history: History, *watching: Callback, saved: Callable[[Path], None] | None = None
) -> lightning.Trainer:
    """The Trainer that trains a job, saves checkpoints and logs to its run.

    `watching` are further callbacks; `saved` is called with each file of the run's state that was written.
    """
    return trainer(
        job.fit,
        [*callbacks(job, history, saved), *watching],
        max_epochs=job.fit.epochs,
        check_val_every_n_epoch=job.fit.validate_every,
        log_every_n_steps=min(LOG_EVERY, job.source.batches),
        logger=False if isinstance(job.run, Follower) else RunLogger(job.run),
        plugins=[WholeCheckpoints(Provenance.of(job.located, job.source.identity), job.task, job.place, saved)],
        default_root_dir=str(job.folder),
        **({} if job.source.has_valid else {"limit_val_batches": 0}),
        **({} if job.place.is_alone else options_of(job)),
    )


def callbacks(job: Job, history: History, saved: Callable[[Path], None] | None = None) -> list[Callback]:
    """The callbacks of training, in call order, including those of the recipe.

    After each batch, first the guard checks it, then callback states are updated, then checkpoints are saved.
    """
    fit = job.fit
    last = Last(job.folder, every=fit.checkpoint_every, keep=fit.keep_last)
    chosen = [
        Best(fit, job.best, saved) if fit.keep == "best" else None,
        Average(fit.average) if fit.average else None,
        LowerOnPlateau(fit, fit.schedule) if isinstance(fit.schedule, Plateau) else None,
        StopEarly(fit, fit.early_stop) if fit.early_stop else None,
    ]
    added = [one for one in chosen if one is not None]
    shown = [FeedFigures(), Bar()] if job.place.is_first else []
    return [Guard(fit.nan), history, *shown, *added, last, StopOnSignal(last, job.place)]


def _quiet() -> None:
    """Silences Lightning's advice and advertisements, which address authors of a Trainer, not users of a run."""
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in ("pytorch_lightning", "torch", "torchmetrics"):
        warnings.filterwarnings("ignore", module=module)

"""Lightning's Trainer as it is here: quiet, with draws that follow from their names."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Callback, Checkpoint

from tracking.follower import Follower
from training.callbacks.average import Average
from training.callbacks.best import Best
from training.callbacks.early_stop import StopEarly
from training.callbacks.epoch_mean import EpochMean
from training.callbacks.guard import Guard
from training.callbacks.in_one import InOne
from training.callbacks.keyed_draws import KeyedDraws
from training.callbacks.last import Last
from training.callbacks.plateau import LowerOnPlateau
from training.callbacks.progress import Bar
from training.callbacks.record import FeedFigures, History, RunLogger
from training.callbacks.signals import StopOnSignal
from training.checkpoints import WholeCheckpoints
from training.fit_config import Fit
from training.job import Job
from training.lean import NoProfiler, PlainPrecision
from training.provenance import Provenance
from training.schedules import Plateau
from training.strategy import options_of

LOG_EVERY = 50
"""Steps between two points of a training curve, in epochs that have so many."""


def trainer(
    fit: Fit, callbacks: Iterable[Callback] = (), plugins: Iterable[Any] = (), **options: Any
) -> lightning.Trainer:
    """A Trainer without Lightning's own bar, summary, sampler and trial runs; of one process, unless told otherwise."""
    _quiet()
    along = [KeyedDraws(fit.seed), EpochMean(), *callbacks]
    is_plain = fit.precision == "float32"
    saving = [one for one in along if isinstance(one, Checkpoint)]
    return lightning.Trainer(
        precision=None if is_plain else "bf16-mixed",
        plugins=[*plugins, PlainPrecision()] if is_plain else list(plugins),
        profiler=NoProfiler(),
        # those that save come last, as Lightning would have it, and are known to it by their type
        callbacks=[InOne([one for one in along if one not in saving]), *saving],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        **{"devices": 1, **options},
    )


def fitting(job: Job, history: History) -> lightning.Trainer:
    """The Trainer that trains a job, keeps its state and tells its run."""
    return trainer(
        job.fit,
        callbacks(job, history),
        max_epochs=job.fit.epochs,
        check_val_every_n_epoch=job.fit.validate_every,
        log_every_n_steps=min(LOG_EVERY, job.batches),
        logger=False if isinstance(job.run, Follower) else RunLogger(job.run),
        plugins=[WholeCheckpoints(Provenance.of(job.located, job.manifest), job.task, job.place)],
        default_root_dir=str(job.folder),
        **({} if job.has_valid else {"limit_val_batches": 0}),
        **({} if job.place.is_alone else options_of(job)),
    )


def callbacks(job: Job, history: History) -> list[Callback]:
    """What goes along with training, in the order in which it is called; the recipe adds to it.

    After each batch first the guard looks at it, then what a step changes is brought up to date, then it is saved.
    """
    fit = job.fit
    last = Last(job.folder, every=fit.checkpoint_every, keep=fit.keep_last)
    chosen = [
        Best(fit, job.best) if fit.keep == "best" else None,
        Average(fit.average) if fit.average else None,
        LowerOnPlateau(fit, fit.schedule) if isinstance(fit.schedule, Plateau) else None,
        StopEarly(fit, fit.early_stop) if fit.early_stop else None,
    ]
    added = [one for one in chosen if one is not None]
    shown = [FeedFigures(), Bar()] if job.place.is_first else []
    return [Guard(fit.nan), history, *shown, *added, last, StopOnSignal(last, job.place)]


def _quiet() -> None:
    """Lightning's advice and its advertisements are for those who write a Trainer, not for those who start a run."""
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in ("pytorch_lightning", "torch", "torchmetrics"):
        warnings.filterwarnings("ignore", module=module)

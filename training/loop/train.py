"""Trains a model on a dataset version: fit, evaluate, draw figures, log the model to the run."""

from __future__ import annotations

import hashlib
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
from pydantic import BaseModel
from torch import Tensor, nn

from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import TrainingFailed
from millstream.tracking.figures.learning_curves import learning_curves
from millstream.tracking.host.disk_full import is_full
from millstream.tracking.recipe.schema import Direction, Located
from millstream.tracking.runs import model_logging
from millstream.tracking.runs.read_only_run import Follower
from millstream.tracking.runs.run import Run
from millstream.tracking.runs.table import Table
from millstream.training.assembly import model_folder
from millstream.training.callbacks.largest_losses import LargestLosses
from millstream.training.callbacks.run_logger import History
from millstream.training.checkpoints import archive, remote_copies
from millstream.training.checkpoints.uploads import Uploads
from millstream.training.distributed.ranks import Ranks
from millstream.training.estimator_module import EstimatorModule
from millstream.training.explain import recurrence
from millstream.training.explain.loss_surface import surface
from millstream.training.loop import describe, hard_rows
from millstream.training.loop.evaluate import measuring
from millstream.training.loop.job import Job
from millstream.training.loop.resume import ROOT, facts, identity
from millstream.training.loop.trainer import fitting
from millstream.training.memory import is_out_of_memory, keep_freed_memory, report_out_of_memory
from millstream.training.optimization.lane_gradients import ByLane


class Trained(BaseModel, frozen=True):
    run_id: str
    model_uri: str
    dataset_version: str | None
    metrics: dict[str, float]
    passed: bool | None
    marks: dict[str, str]
    weights: str
    seconds: float


def train(
    located: Located,
    run: Run | Follower,
    dataset: Dataset | None = None,
    *,
    place: Ranks | None = None,
    register: bool = True,
    test: bool = True,
) -> Trained:
    """Train the recipe's network on `dataset` (None for an environment) and register the model under the recipe's name.

    A resumed run continues from its last checkpoint. Without `register` the model is only logged to its run; without
    `test` the test split is not used. Of several ranks, which have joined as `place`, only rank 0 writes.
    Raises WrongRecipe, BadData, BadEnvironment or TrainingFailed; `Stopped` after a signal, with a checkpoint saved.
    """
    started = time.monotonic()
    keep_freed_memory()
    job = Job.of(located, run, dataset, place=place, test=test)
    job.place.same(facts(located, dataset))
    run.tag(identity=identity(located, dataset))
    if isinstance(run, Run):
        run.params(describe.params(job.parts))
    job.source.log(run)
    history, hardest = History(), LargestLosses()
    uploads = _uploads(job)
    trainer = fitting(job, history, hardest, saved=uploads.add)
    with report_out_of_memory(located.name), _broken(job):
        if isinstance(job.task.network, EstimatorModule):
            _fit_whole(job)
        else:
            _fit_steps(job, trainer, uploads)
        metrics = _measure(job, trainer, test=test)
    passed = located.recipe.passed(metrics) if test else None
    tables = _draw(job, history, test=test)
    hard = hardest.of_all(job.place)
    model_uri = ""
    if isinstance(run, Run):
        shown = hard_rows.log(run, job.rows.dataset, hard) if hard else ()
        model_uri = _log_model(job, run, metrics, passed, register)
        run.note(describe.page(job, run, metrics, model_uri, tables=tables, hardest=shown, test=test))
    seconds = round(time.monotonic() - started, 3)
    run.tag(train_seconds=str(seconds))
    return Trained(
        run_id=run.id,
        model_uri=model_uri,
        dataset_version=job.source.version,
        metrics=metrics,
        passed=passed,
        marks=dict(located.recipe.marks),
        weights=weights_digest(job.task.network),
        seconds=seconds,
    )


@contextmanager
def _broken(job: Job) -> Iterator[None]:
    """Raises TrainingFailed with file and line for an error of a network, task or library.

    With several ranks the error is not converted, since its cause may be a lost rank.
    """
    try:
        yield
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        if not job.place.is_alone or is_out_of_memory(error) or is_full(error):
            raise
        first = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
        own = [one for one in traceback.extract_tb(error.__traceback__) if Path(one.filename).is_relative_to(ROOT)]
        message = f"{type(error).__name__}: {first}; look at the network, the task and the data that they are given"
        raise TrainingFailed.at(f"{own[-1].filename}:{own[-1].lineno}", message) from error


def weights_digest(network: nn.Module) -> str:
    """Hex SHA-256 over the names and bytes of all weights, in name order."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


def _fit_steps(job: Job, trainer: lightning.Trainer, uploads: Uploads) -> None:
    name = ""
    if job.place.is_first:
        archive.sweep(job.folder)
        found = remote_copies.newest_whole(uploads.copies, job.folder, _say) if job.run.resumed else None
        name = found.name if found else ""
        for path in (job.best, found):  # the store may have older ones, or none
            if found and path and path.exists():
                uploads.add(path)
    if job.fit.sync_batch_norm and job.place.is_alone:
        _say(f"fit: sync_batch_norm: is about the batch of several ranks, and {job.located.name} is trained by one")
    name = job.place.gather(name)[0]
    with uploads:
        trainer.fit(job.task, datamodule=job.source, ckpt_path=job.folder / name if name else None, weights_only=True)
    if isinstance(job.task.gradients, ByLane) and job.place.is_first:
        job.task.gradients.report()
    if job.fit.keep == "best":
        job.task.network.load_state_dict(_best(job))


def _uploads(job: Job) -> Uploads:
    """Uploads of rank 0; those of other ranks do nothing."""
    if not isinstance(job.run, Run):
        return Uploads(None, job.fit.keep_last)
    return Uploads(job.run.settings.checkpoint_copies(job.run.id), job.fit.keep_last, job.run.lease.check)


def _best(job: Job) -> dict[str, Tensor]:
    """The weights of the best validation, saved by rank 0. Raises TrainingFailed, with a remedy, when they are lost."""
    advice = "train from the start with --fresh"
    if job.place.gather(str(job.best.exists()))[0] != str(True):
        message = (
            f"no best weights are kept: {job.fit.monitor} was never a number, or they were lost after the last look"
        )
        raise TrainingFailed.at(job.best, f"{message}; {advice}")
    try:
        found: dict[str, Tensor] = archive.load_for_all(job.best, job.place)["network"]
    except TrainingFailed as damaged:
        raise TrainingFailed.at(job.best, f"{damaged.faults[0].message}; the best weights are lost, {advice}") from None
    return found


def _fit_whole(job: Job) -> None:
    """Fit an estimator on the whole train split, or batch by batch; without steps, there is nothing to resume."""
    estimator, rows = job.task.network.estimator, job.rows
    if job.fit.of_steps and job.place.is_first:
        _say(f"fit: {', '.join(job.fit.of_steps)}: say how steps are taken, and {job.located.name} takes none")
    if estimator.by_pages or not job.place.is_alone:
        rows.loader("train").refuse_changes()
        estimator.learn_by_pages(rows.in_order("train"), job.folder, job.place)
        return
    whole = rows.loader("train").whole()
    estimator.fit(whole.arguments, whole.truth if estimator.learns_target else None, whole.weight_B)


def _measure(job: Job, trainer: lightning.Trainer, *, test: bool) -> dict[str, float]:
    """Metrics of the final weights: on valid, again under `best/`, and, with `test`, on the test split, used only here.

    Train metrics are those that an estimator's fit returns.
    """
    network, found = job.task.network, dict[str, float]()
    if isinstance(network, EstimatorModule):
        found |= {f"train/{name}": value for name, value in network.estimator.of_train().items()}
    else:
        found["network/parameters"] = float(sum(one.numel() for one in network.parameters()))
    if job.source.has_valid:
        for values in trainer.validate(job.task, datamodule=job.source, verbose=False):
            found |= {name: float(value) for name, value in values.items()}
    for values in trainer.test(job.task, datamodule=job.source, verbose=False) if test else ():
        found |= {name: float(value) for name, value in values.items()}
    found |= {f"best/{name.removeprefix('valid/')}": v for name, v in found.items() if name.startswith("valid/")}
    # the trainer's logger has already logged those of the splits
    finals = {name: value for name, value in found.items() if not name.startswith(("valid/", "test/"))}
    job.run.metrics(finals, step=trainer.global_step)
    return found


def _draw(job: Job, history: History, *, test: bool) -> Mapping[str, Table]:
    """Log figures, tables and films; return the tables."""
    if history.curves:
        job.run.figure("learning_curves", learning_curves(history.curves))
    if history.path and job.task.steps_by_rows:
        feed = job.rows.loader("train")
        if not feed.is_changing:
            job.run.figure("descent", surface(job.task, feed.whole(), history.path))
    if recurrence.is_recurrent(job.task.network):
        batches: Any = iter(job.rows.in_order("train"))
        with closing(batches):
            for name, figure in recurrence.figures(job.task, next(batches)).items():
                job.run.figure(name, figure)
    if not test:
        return {}  # a task's figures show its results on the test split
    for name, figure in job.task.figures().items():
        job.run.figure(name, figure)
    tables = job.task.tables()
    for name, table in tables.items():
        job.run.table(name, table)
    for name, film in job.task.films().items():
        job.run.content(f"figures/{name}.gif", film)
    return tables


def _log_model(job: Job, run: Run, metrics: Mapping[str, float], passed: bool | None, register: bool) -> str:
    run.tag(passed="" if passed is None else str(passed).lower())
    folder = job.folder / "model"
    model = model_folder.save(folder, job.located, job.task, job.source.manifest)
    return model_logging.log_model(
        run,
        folder,
        metrics=metrics,
        objective=_objective(job),
        dataset_version=job.source.version,
        inputs=model.raw_columns,
        optional=model.optional,
        outputs=job.task.outputs,
        example=job.source.example(),
        modules=model_folder.modules(job.located, job.task, job.source.manifest),
        brought=model.brought,
        generates=bool(job.task.generated),
        register=register,
        measure=measuring(run.settings, job.rows.dataset if job.source.manifest else None),
    )


def _objective(job: Job) -> tuple[str, Direction]:
    """The task's main metric on the test split, and its direction: the first one, and the loss if it has no other."""
    directions: dict[str, Direction] = {**job.task.directions, "loss": "min"}
    main = next(name for name in directions if name in job.task.measures("test"))
    return f"test/{main}", directions[main]


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")

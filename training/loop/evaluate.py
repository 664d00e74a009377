"""Evaluates a registered model on a split of the dataset version it was trained on, or of another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pytorch_lightning import Callback
from torchmetrics import Metric

from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.errors import BadData
from millstream.tracking.runs import model_logging
from millstream.tracking.runs.promotion import Measure
from millstream.tracking.settings import Settings
from millstream.training.assembly import model_folder
from millstream.training.assembly.build import parts_of
from millstream.training.assembly.data_source import source_of
from millstream.training.assembly.other_version import read_by
from millstream.training.loop.trainer import trainer as make_trainer


class Evaluated(BaseModel, frozen=True):
    metrics: dict[str, float]
    rows: int


def evaluate(model_uri: str, settings: Settings, *, split: str = "test", on: Dataset | None = None) -> Evaluated:
    """The metrics of a model on `split`, with the same batches and random numbers as the test after training.

    On a dataset version other than the model's, rows are prepared as those that it was trained on. Raises BadData when
    the model's version is missing from the store, or has changed; or when the model cannot read the other one.
    """
    model = model_folder.load(model_logging.model_folder(model_uri, settings))
    if on is None:
        return measure(model, dataset_of(model.manifest, settings) if model.manifest else None, split=split)
    if model.manifest is None:
        raise BadData.at(model_uri, "was trained in an environment, and reads no dataset")
    with read_by(model.manifest, model.task.signature, on, split) as dataset:
        return measure(model, dataset, split=split)


def measuring(settings: Settings, dataset: Dataset | None = None) -> Measure:
    """Measures a registered model on the test split of a dataset version in the store; `dataset` is that version, if it
    is open already."""

    def measured(model_uri: str, version: str) -> dict[str, float]:
        on = dataset or Dataset.open(version, settings.store, settings.cache)
        return evaluate(model_uri, settings, on=on).metrics

    return measured


def measure(
    model: model_folder.Model, dataset: Dataset | None, *, split: str = "test", watching: Sequence[Callback] = ()
) -> Evaluated:
    """`evaluate` for a loaded model; `dataset` is None for an environment. `watching` are callbacks of the test."""
    source = source_of(model.located, parts_of(model.located), dataset, signature=model.task.signature)
    source.attach(model.task)
    for metric in model.task.modules():
        if isinstance(metric, Metric):
            metric.distributed_available_fn = _never  # of several ranks, only this one measures
    trainer = make_trainer(model.task.fit, watching, logger=False, enable_checkpointing=False)
    values: list[Any] = list(trainer.test(model.task, dataloaders=source.in_order(split), verbose=False))
    return Evaluated(metrics=_named(values, split), rows=source.count(split))


def dataset_of(manifest: Manifest, settings: Settings) -> Dataset:
    """The dataset version that a model was trained on. Raises BadData when it is missing, or has changed."""
    dataset = Dataset.open(f"{manifest.name}/{manifest.version}", settings.store, settings.cache)
    trained = {split: facts.digest for split, facts in manifest.splits.items()}
    found = {split: facts.digest for split, facts in dataset.manifest.splits.items()}
    if trained != found:
        raise BadData.at(
            dataset.folder, f"digests {found}; the model was trained on {trained}, prepare its recipe again"
        )
    return dataset


def _never() -> bool:
    return False


def _named(values: list[Any], split: str) -> dict[str, float]:
    return {f"{split}/{name.removeprefix('test/')}": float(v) for one in values for name, v in one.items()}

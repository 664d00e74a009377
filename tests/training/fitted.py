"""Trainings in seconds: a small network on a few rows, with the real Trainer, and a run that is kept in memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
import yaml
from torch import Tensor

from millstream.tracking.dataset.records import Affine
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.recipe.loader import load
from millstream.tracking.recipe.schema import Located
from millstream.training.callbacks.run_logger import History
from millstream.training.checkpoints import archive
from millstream.training.checkpoints.uploads import Uploads
from millstream.training.loop import train
from millstream.training.loop.job import Job
from millstream.training.loop.trainer import fitting
from tests.datasets import make_dataset
from tests.training.signatures import image, number, target

ROWS = {"train": 70, "valid": 20, "test": 15}
BATCHES = 5
"""Of 16 rows, the last one with 6."""
FIT: dict[str, Any] = {"epochs": 4, "batch_size": 16, "seed": 7, "engine": "arrow", "threads": 1}


@dataclass
class Remembered:
    """What the training needs of a run."""

    folder: Path
    resumed: bool = False
    id: str = "0"
    points: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        self.points.append((step, dict(values)))

    def figure(self, name: str, figure: Any) -> None:
        self.figures[name] = figure

    def table(self, name: str, table: Any) -> None:
        self.tables[name] = table

    def tag(self, **tags: str) -> None:
        self.tags |= tags

    def course(self, name: str) -> list[float]:
        return [values[name] for _, values in self.points if name in values]


@dataclass
class Fitted:
    job: Job
    trainer: lightning.Trainer
    history: History
    metrics: dict[str, float]

    @property
    def network(self) -> Any:
        return self.job.task.network

    @property
    def weights(self) -> str:
        return train.weights_digest(self.network)

    @property
    def run(self) -> Any:
        return self.job.run


class Steps(lightning.Callback):
    """What each batch left behind: the trained weights, the rate, which batch it was."""

    def __init__(self) -> None:
        self.weights: list[dict[str, Tensor]] = []
        self.rates: list[float] = []
        self.batches: list[tuple[int, int, int]] = []

    def on_train_batch_start(self, trainer: lightning.Trainer, task: Any, batch: Any, index: int) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(self, trainer: lightning.Trainer, task: Any, outputs: Any, batch: Any, index: int) -> None:
        self.weights.append(state(task.network))
        self.batches.append((batch.epoch, batch.index, batch.real))


def state(network: Any) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def rows(folder: Path, *, spoil: Iterable[int] = ()) -> Dataset:
    """Three classes, determined by the largest of three numbers; `spoil` names train rows that hold an infinity."""
    draw = np.random.default_rng(3)
    splits = {}
    for split, count in ROWS.items():
        x = draw.normal(size=(count, 3)).astype(np.float32)
        label = x.argmax(axis=1)
        if split == "train":
            x[list(spoil), 0] = np.inf
        splits[split] = {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "label": label}
    return make_dataset(folder, splits, [number("a"), number("b"), number("c"), target(3)], shard_rows=25)


def images(folder: Path) -> Dataset:
    """Two classes, determined by which half of an 8x8 image is the brighter one."""
    draw = np.random.default_rng(3)
    splits = {}
    for split, count in ROWS.items():
        label = draw.integers(0, 2, size=count)
        made = draw.integers(0, 128, size=(count, 1, 8, 8))
        made[:, :, :, :4] += 100 * (1 - label)[:, None, None, None]
        made[:, :, :, 4:] += 100 * label[:, None, None, None]
        splits[split] = {"image": made.astype(np.uint8), "label": label}
    scaled = image(1, 8, 8).model_copy(update={"affine": Affine(factor=1 / 255)})
    return make_dataset(folder, splits, [scaled, target(2)], shard_rows=25)


def located(folder: Path, **sections: Any) -> Located:
    """A recipe of these sections, with `fit` over the small defaults."""
    base = {
        "about": "a test",
        "data": {"source": {"name": "digits"}},
        "task": {"name": "classify", "target": "label"},
        "network": {"name": "mlp/mlp", "hidden": [8]},
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(base | sections | {"fit": FIT | sections.get("fit", {})}))
    found = load(str(file))
    assert found.faults == ()
    return found


def job_of(folder: Path, dataset: Dataset, **sections: Any) -> Job:
    run: Any = Remembered(folder / "run")
    return Job.of(located(folder, **sections), run, dataset)


def fitted(
    folder: Path, dataset: Dataset, *watching: lightning.Callback, start: Path | None = None, **sections: Any
) -> Fitted:
    """Trained and measured, from the checkpoint `start` or from the beginning."""
    return trained(job_of(folder, dataset, **sections), *watching, start=start)


def trained(job: Job, *watching: lightning.Callback, start: Path | None = None) -> Fitted:
    if start is not None:
        job.folder.mkdir(parents=True)
        for file in (start, start.with_name(archive.BEST)):
            if file.exists():
                shutil.copy(file, job.folder / file.name)
        job.run.resumed = True
    history = History()
    trainer = fitting(job, history)
    trainer.callbacks[:0] = watching
    threads = torch.get_num_threads()
    try:
        train._fit_steps(job, trainer, Uploads(None, job.fit.keep_last))
        metrics = train._measure(job, trainer, test=True)
    finally:
        torch.set_num_threads(threads)
    return Fitted(job, trainer, history, metrics)

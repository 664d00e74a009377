"""Every network and every task, found by path, with made-up data on which they work together.

A network or a task whose defaults are slow, or that has fields without a default, declares a small configuration `TINY`
in its file; the target column is called `target`.
Axes: B rows, T tokens, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from millstream.tracking.dataset.records import Affine, Column
from millstream.tracking.dataset.signature import InputField, Signature
from millstream.tracking.errors import BadData, WrongRecipe
from millstream.tracking.recipe import plugins
from millstream.training.assembly.build import Parts
from millstream.training.assembly.dry_run import Unfit, rehearse, tried
from millstream.training.assembly.validate import task_class
from millstream.training.config.fit import Fit
from millstream.training.estimator import Estimator
from millstream.training.estimator_module import EstimatorModule
from millstream.training.feed.batch import Batch, Ragged, Value
from millstream.training.optimization import rng
from millstream.training.task import Task
from tests.training.signatures import category, number, series, target, tokens

NETWORKS = plugins.names("millstream.training.networks")
TASKS = plugins.names("millstream.training.tasks")
ROWS, CLASSES, FACTOR = 24, 3, 2
UNIT = Affine(factor=1 / 255)
FIT = Fit.model_validate({"batch_size": ROWS, "seed": 1, "threads": 1, "optimizer": {"name": "adam", "lr": 0.01}})


def image_column(channels: int, *sides: int, **facts: Any) -> Column:
    shape = {"layout": "tensor", "axes": "CHW", "shape": (channels, *sides)}
    return Column.model_validate(
        {"name": "image", "dtype": "uint8", "role": "input", "meaning": "image", "affine": UNIT, **shape, **facts}
    )


INPUTS = {
    "numbers": [number("a"), number("b")],
    "one number": [number("a")],
    "a category": [category("colour", 4)],
    "numbers and a category": [number("a"), number("b"), category("colour", 4)],
    "an image": [image_column(3, 8, 8)],
    "a larger image": [image_column(3, 32, 32)],
    "an odd image": [image_column(1, 7, 5)],
    "an image of one pixel": [image_column(1, 1, 1)],
    "an image and a number": [image_column(3, 8, 8), number("a")],
    "tokens": [tokens(5, 8)],
    "a series": [series("series", 6, 2)],
}


def targets(inputs: list[Column]) -> list[list[Column]]:
    """What a task can predict from these inputs; of an image also a mask, and the image in more pixels."""
    named = {"name": "target", "role": "target"}
    vector = {"layout": "tensor", "shape": (CLASSES,), "meaning": "vector", "classes": tuple("abc")}
    found = [target(CLASSES).model_copy(update=named), number("target", "target")]
    found += [found[1].model_copy(update=vector), target(1).model_copy(update=named)]
    if [one.meaning for one in inputs] == ["image"]:
        channels, *sides = inputs[0].shape
        finer = image_column(channels + 1, *(FACTOR * side for side in sides), **named)
        found += [image_column(1, *sides, **named, meaning="mask", affine=None), finer]
    if [one.meaning for one in inputs] == ["series"]:
        found.append(series("target", 3, inputs[0].shape[1]).model_copy(update=named))
    return [[], *([one] for one in found)]


SIGNATURES = {
    f"{name}, target {at}": Signature.of([*inputs, *shown], [one.name for one in shown])
    for name, inputs in INPUTS.items()
    for at, shown in enumerate(targets(inputs))
}


def batch(signature: Signature, rows: int = ROWS) -> Batch:
    """Rows in which inputs and target both depend on one hidden value of the row, so that there is something to learn.

    The last slot is masked where there are more than two.
    """
    draw = torch.Generator().manual_seed(rows)
    hidden_B = (torch.arange(rows) + 0.5) / rows
    inputs = {one.name: _input(one, hidden_B, draw) for one in signature.inputs}
    answers = {one.name: _target(one, hidden_B, inputs) for one in signature.targets}
    mask_B = torch.arange(rows) < max(rows - 1, 2)
    filled = Batch(inputs, answers, mask_B.float(), mask_B, int(mask_B.sum()), 1, 0, 0)
    return filled.map(lambda one: one * mask_B.reshape(-1, *[1] * (one.ndim - 1)).to(one.dtype))


def _input(field: InputField, hidden_B: Tensor, draw: torch.Generator) -> Value:
    rows = len(hidden_B)
    if field.meaning == "tokens":
        lengths_B = 1 + torch.arange(rows) % field.shape[0]
        of_row_B1 = 2 + (CLASSES * hidden_B).long()[:, None]
        inside_BT = torch.arange(field.shape[0]) < lengths_B[:, None]
        return Ragged(of_row_B1 * inside_BT, lengths_B)
    if field.meaning == "category":
        return (CLASSES * hidden_B).long()[:, None].expand(rows, *field.shape).clone()
    noise = torch.rand((rows, *field.shape), generator=draw)
    if field.meaning == "image":  # bright up to a column
        column_W = (torch.arange(field.shape[-1]) + 0.5) / field.shape[-1]
        return 0.1 * noise + 0.9 * (column_W < hidden_B[:, None, None, None])
    return 0.2 * noise + 0.8 * hidden_B.reshape(-1, *[1] * len(field.shape))


def _target(field: InputField, hidden_B: Tensor, inputs: dict[str, Value]) -> Tensor:
    whole_B = (CLASSES * hidden_B).long()
    if field.meaning == "category":
        return whole_B.clamp(max=len(field.columns[0].classes or ()) - 1)
    if field.meaning == "number":
        return whole_B.float()
    if field.meaning == "vector":
        return (torch.arange(CLASSES) <= whole_B[:, None]).float()
    if field.meaning == "series":
        return (1 + hidden_B)[:, None, None].expand(-1, *field.shape).clone()
    (image_BCHW,) = inputs.values()
    assert isinstance(image_BCHW, Tensor)
    if field.meaning == "mask":
        return (image_BCHW[:, :1] > 0.5).long()
    # the negative: neither its mean nor bicubic enlargement comes near
    fine_BCHW = (1 - image_BCHW).repeat_interleave(FACTOR, 2).repeat_interleave(FACTOR, 3)
    return torch.cat([fine_BCHW, torch.ones_like(fine_BCHW[:, :1])], dim=1)


@cache
def found(folder: str, name: str) -> ModuleType:
    return plugins.find(f"millstream.training.{folder}", name)


def tiny(module: ModuleType) -> Any:
    """The small configuration of a network or a task."""
    required = {"target": "target"} if "target" in module.Config.model_fields else {}
    return getattr(module, "TINY", None) or module.Config(**required)


def network(name: str, signature: Signature, seed: int = 0) -> nn.Module | Estimator:
    """Raises BadData or WrongRecipe for data that the network cannot read."""
    module = found("networks", name)
    rng.seed(seed)
    made: nn.Module | Estimator = module.build(tiny(module), signature)
    return made


@dataclass(frozen=True)
class Pair:
    """A task and a network that accept each other on some data."""

    task: str
    network: str
    data: str

    @property
    def signature(self) -> Signature:
        return SIGNATURES[self.data]

    def build(self, fit: Fit = FIT) -> Task:
        task, network = found("tasks", self.task), found("networks", self.network)
        return Parts(task_class(task), tiny(task), network, tiny(network), fit).build(self.signature)

    def task_fitted(self, fit: Fit = FIT) -> Task:
        """The task; an estimator is fitted on a batch."""
        made = self.build(fit)
        if isinstance(made.network, EstimatorModule):
            fit_on(made, batch(self.signature))
        return made

    def __str__(self) -> str:
        return f"{self.task}, {self.network}"


@cache
def pairs() -> tuple[Pair, ...]:
    """A pair for each network, and for each task that has rows and a network that is trained in steps: the first in the
    order of INPUTS, and of the names."""
    each = [next(_accepted(TASKS, [name]), None) for name in NETWORKS]
    in_steps = [name for name in NETWORKS if not name.startswith("classical/")]
    left = [task for task in TASKS if not any(one and one.task == task and one.network in in_steps for one in each)]
    each += [next(_accepted([task], in_steps), None) for task in left]
    return tuple(one for one in each if one is not None)


def _accepted(tasks: list[str], networks: list[str]) -> Iterator[Pair]:
    for data, network, task in product(SIGNATURES, networks, tasks):
        if _accepts(task, network, data):
            yield Pair(task, network, data)


def _accepts(task: str, network: str, data: str) -> bool:
    """Whether the task predicts rows of these data with the network, in the form that it declares."""
    module, signature = found("tasks", task), SIGNATURES[data]
    kind, config = task_class(module), tiny(module)
    if "data" not in kind.learns_from or tuple(kind.targets_of(config)) != tuple(one.name for one in signature.targets):
        return False
    try:
        if kind.network_signature(config, signature) == signature:  # the same network for many tasks
            made = _read(network, data)
            if made is None or not all(hasattr(made, need) for need in kind.needs):
                return False
        pair = Pair(task, network, data)
        with tried(), torch.no_grad():
            return _has_declared_form(pair.task_fitted(), batch(signature, rows=2))
    except (BadData, WrongRecipe, Unfit):
        return False


def _has_declared_form(task: Task, rows: Batch) -> bool:
    rehearse(task)
    predicted = task.eval().predict(*rows.arguments)
    dimensions = {name: 1 if kind.startswith("Array") else 0 for name, kind in task.outputs.items()}
    return all(np.ndim(predicted[name][0]) == dimension for name, dimension in dimensions.items())


def fit_on(task: Task, rows: Batch) -> None:
    """Fit the task's estimator on one batch, in one thread: a pool of them costs more than these rows."""
    present = rows.present()
    estimator: Estimator = task.network.estimator
    answers = present.truth if estimator.learns_target else None
    with threadpool_limits(1):
        estimator.fit(present.arguments, answers, present.weight_B)


@cache
def _read(name: str, data: str) -> nn.Module | Estimator | None:
    try:
        return network(name, SIGNATURES[data])
    except (BadData, WrongRecipe):
        return None

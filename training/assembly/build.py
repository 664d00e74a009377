"""Builds a recipe's task and network from the signature of a dataset (or of an environment)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel

from millstream.tracking.dataset.manifest import Manifest
from millstream.tracking.dataset.signature import Signature
from millstream.tracking.errors import BadData, Fault, WrongRecipe
from millstream.tracking.recipe.schema import Located
from millstream.tracking.seeds import key
from millstream.training.assembly import validate
from millstream.training.assembly.dry_run import Unfit, rehearse, tried
from millstream.training.config.fit import Fit
from millstream.training.estimator_module import as_module
from millstream.training.memory import report_out_of_memory
from millstream.training.optimization import rng
from millstream.training.optimization.initialization import initialise
from millstream.training.task import Task


@dataclass(frozen=True)
class Parts:
    """The task, network and fit of a recipe, with validated configs."""

    task: Any
    task_config: Any
    network: Any
    network_config: BaseModel
    fit: Fit

    @property
    def targets(self) -> tuple[str, ...]:
        columns: tuple[str, ...] = self.task.targets_of(self.task_config)
        return columns

    def signature(self, manifest: Manifest) -> Signature:
        return manifest.signature(*self.targets)

    def build(self, signature: Signature) -> Task:
        """The task with initial weights, which depend on `fit.seed` alone."""
        with torch.random.fork_rng(devices=[]):
            rng.seed(key(self.fit.seed, "weights"))
            required = self.task.network_signature(self.task_config, signature)
            network: Any = as_module(self.network.build(self.network_config, required))
        if self.fit.init:
            initialise(network, self.fit.init, self.fit.seed)
        if self.fit.channels_last:
            # the weights are enough: the output of a convolution has the layout of its weights
            network = network.to(memory_format=torch.channels_last)
        task: Task = self.task(self.task_config, network, signature, self.fit)
        return task


def task_on(parts: Parts, signature: Signature, located: Located) -> Task:
    """The task for data of this signature. Raises WrongRecipe where network, task and data are incompatible."""
    try:
        if not signature.inputs:
            message = "the data have no column to read; give one the role input, as a number or encoded"
            raise BadData.at("network", message)
        with report_out_of_memory(located.name), tried():
            task = parts.build(signature)
            rehearse(task)
        return task
    except (BadData, WrongRecipe) as refused:
        raise WrongRecipe(*(_placed(fault, located) for fault in refused.faults)) from None
    except Unfit as unfit:
        names = f"network {located.section('network')['name']}, task {located.section('task')['name']}"
        found = ", ".join(f"{one.name} ({one.meaning}, {one.dtype}, {one.shape})" for one in signature.inputs)
        whole = [one.name for one in signature.inputs if one.meaning in ("image", "video") and one.dtype == "int64"]
        would = (
            f"put `- scale: {{column: {whole[0]}, method: unit}}` after the split" if whole else "change one of them"
        )
        raise WrongRecipe.at(
            located.where("network"), f"{names}: cannot work with {found} ({unfit}); {would}"
        ) from None


def _placed(fault: Fault, located: Located) -> Fault:
    """A fault of the network or the task, with its location in the recipe."""
    section = fault.where.partition(" ")[0].rstrip(",")
    if section not in ("network", "task"):
        return fault
    return Fault(where=located.where(section), message=f"{fault.where}: {fault.message}")


def parts_of(located: Located) -> Parts:
    """Raises WrongRecipe with all faults of the recipe's training sections."""
    WrongRecipe.unless_empty([*located.faults, *validate.faults(located)])
    if not located.recipe.trains:
        raise WrongRecipe.at(located.file, "has no task and network: it is data alone; `millstream prepare` makes it")
    found = {}
    for package, section in (("millstream.training.tasks", "task"), ("millstream.training.networks", "network")):
        part, faults = validate.part_config(package, located, section)
        if part is None:
            raise WrongRecipe(*faults)
        found[section] = part
    (task, task_config), (network, network_config) = found["task"], found["network"]
    fit = Fit.model_validate(located.section("fit"))
    return Parts(validate.task_class(task), task_config, network, network_config, fit)

"""Optimizer steps over one tensor per parameter group, bit for bit those over one tensor per parameter.

A step of a small network is mostly the start of kernels, and Adam starts a dozen per parameter. Here the parameters of
a group are views of one buffer, and so are their gradients and the tensors of the optimizer's state. The state stays
per parameter, so that a checkpoint is the same with flat steps and without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import accumulate
from operator import is_
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.optim import SGD, Adadelta, Adagrad, Adam, AdamW, Optimizer, RMSprop

ELEMENTWISE: tuple[type[Optimizer], ...] = (SGD, RMSprop, Adagrad, Adadelta, Adam, AdamW)
"""Optimizers in which each weight depends on its own gradient alone. L-BFGS is not one of them."""
LARGEST = 1 << 22
"""Most weights with flat steps: beyond, arithmetic takes the time, and gradients would be held twice."""
ALIGNED = 16
"""Each parameter begins at a multiple of 64 bytes, as if it were allocated by itself: the last bits of a matrix product
can depend on it."""


def flattened(optimizer: Optimizer) -> Optimizer:
    """A new optimizer like `optimizer`, with flat steps where it is elementwise."""
    kind: Any = type(optimizer)
    return _flat(kind)(optimizer.param_groups) if kind in ELEMENTWISE else optimizer


class FlatSteps(Optimizer):
    """Mixed into an optimizer: takes flat steps for as long as the same parameters have gradients in each step."""

    kind: ClassVar[Any]
    """The optimizer that it is mixed into."""

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        """`groups` hold all settings, as those of a made optimizer do."""
        super().__init__(groups)  # type: ignore[call-arg]  # the defaults are those of the class it is mixed into
        self.flat = Flat(self)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self.flat.is_gathered or self.flat.gather():
            self.flat.step()
        else:
            super().step()
        return loss

    step.hooked = True  # type: ignore[attr-defined]  # for torch's profiler the step inside is enough


@cache
def _flat(kind: type[Optimizer]) -> Any:
    return type(f"Flat{kind.__name__}", (FlatSteps, kind), {"kind": kind})


class Flat:
    """The buffers of an optimizer, made at its first step from its parameters and their state."""

    def __init__(self, optimizer: FlatSteps) -> None:
        self.optimizer = optimizer
        self.groups: list[Group] = []
        self.is_given_up = False
        self._has_looked = False

    @property
    def is_gathered(self) -> bool:
        """Whether the gradients have been gathered for this step."""
        return self._has_looked and bool(self.groups) and all(group.is_gathered for group in self.groups)

    @torch.no_grad()
    def gather(self) -> list[nn.Parameter]:
        """The buffers, with the parameters' gradients; empty where this step is to be taken per parameter.

        A parameter's `grad` is a view of its buffer's afterwards.
        """
        if self.is_given_up:
            return []
        found = [[one for one in group["params"] if one.grad is not None] for group in self.optimizer.param_groups]
        is_ready = bool(self.groups) and all(group.has_state for group in self.groups)
        if not self._holds(found) or not (is_ready or _fits(found, self.optimizer.state)):
            self.groups, self.is_given_up = [], True  # weights and state stay what they are: those of each parameter
        elif not is_ready:
            self.groups = [Group(self.optimizer, at, parameters) for at, parameters in enumerate(found)]
        self._has_looked = True
        for group in self.groups:
            group.gather()
        return [group.buffer for group in self.groups]

    @torch.no_grad()
    def step(self) -> None:
        """A step with the gathered gradients."""
        self._has_looked = False
        for group in self.groups:
            group.step()

    def _holds(self, found: Sequence[Sequence[nn.Parameter]]) -> bool:
        """Whether the buffers, if there are any yet, are those of these parameters."""
        return not self.groups or (len(self.groups) == len(found) and all(map(Group.holds, self.groups, found)))


class Group:
    """The parameters of a group, their gradients and their state, as views of a buffer each."""

    def __init__(self, optimizer: FlatSteps, number: int, parameters: Sequence[nn.Parameter]) -> None:
        self.optimizer, self.number, self.parameters = optimizer, number, list(parameters)
        lengths = (-(-one.numel() // ALIGNED) * ALIGNED for one in parameters)
        *self.starts, self.length = accumulate(lengths, initial=0)
        self.buffer = nn.Parameter(self._joined(parameters))
        self.buffer.grad = torch.zeros_like(self.buffer)
        self.gradients = self._views(self.buffer.grad)
        for one, view in zip(parameters, self._views(self.buffer.detach()), strict=True):
            one.data = view
        self.addresses = [one.data_ptr() for one in parameters]
        self.whole = optimizer.kind([self.buffer])
        before = [optimizer.state.get(one, {}) for one in parameters]
        self.whole.state[self.buffer] = {name: self._whole([one[name] for one in before], name) for name in before[0]}
        self.counts: Tensor | None = None
        self._share_state()

    def holds(self, parameters: Sequence[nn.Parameter]) -> bool:
        """Whether these are its parameters, and still views of its buffer."""
        return (
            len(parameters) == len(self.parameters)
            and all(map(is_, parameters, self.parameters))
            and [one.data_ptr() for one in parameters] == self.addresses
        )

    @property
    def has_state(self) -> bool:
        """Whether the optimizer's state is still of its buffers: a checkpoint brings another."""
        return self.optimizer.state.get(self.parameters[0]) is self.shared

    @property
    def is_gathered(self) -> bool:
        return all(one.grad is view for one, view in zip(self.parameters, self.gradients, strict=True))

    def gather(self) -> None:
        if not self.is_gathered:
            torch._foreach_copy_(self.gradients, [cast(Tensor, one.grad) for one in self.parameters])
            for one, view in zip(self.parameters, self.gradients, strict=True):
                one.grad = view

    def step(self) -> None:
        self.whole.param_groups[0].update(self.optimizer.param_groups[self.number], params=[self.buffer])
        self.whole.step()
        increment_version(self.parameters)  # autograd refuses a graph that is older than the weights
        if self.shared is None:
            self._share_state()
        elif self.counts is not None:
            self.counts.fill_(self.whole.state[self.buffer]["step"])

    def _share_state(self) -> None:
        """Make the optimizer's state of each parameter a view of the buffers', which the first step makes."""
        views = {name: self._parts(value, name) for name, value in self.whole.state[self.buffer].items()}
        if views:
            for at, one in enumerate(self.parameters):
                self.optimizer.state[one] = {name: values[at] for name, values in views.items()}
        self.shared = self.optimizer.state.get(self.parameters[0])

    def _whole(self, values: Sequence[Any], name: str) -> Tensor | None:
        """The state of the buffer from that of each parameter; None where a momentum has not begun."""
        if values[0] is None:
            return None
        return values[0].clone() if name == "step" else self._joined(values)

    def _parts(self, value: Tensor | None, name: str) -> Sequence[Tensor | None]:
        if value is None:
            return [None] * len(self.parameters)
        if name != "step":
            return self._views(value)
        self.counts = value.expand(len(self.parameters)).clone()  # one each: steps per parameter count in place
        return self.counts.unbind()

    def _joined(self, tensors: Sequence[Tensor]) -> Tensor:
        """A buffer that holds `tensors`, zero between them, where zero gradients leave it."""
        whole = tensors[0].new_zeros(self.length)
        for view, one in zip(self._views(whole), tensors, strict=True):
            view.copy_(one)
        return whole

    def _views(self, whole: Tensor) -> list[Tensor]:
        return [
            whole.as_strided(one.shape, one.stride(), start)
            for one, start in zip(self.parameters, self.starts, strict=True)
        ]


def _fits(groups: Sequence[Sequence[nn.Parameter]], state: Mapping[Any, Any]) -> bool:
    """Whether the parameters that have gradients can be stepped flat, group by group."""
    return sum(one.numel() for group in groups for one in group) <= LARGEST and all(
        group
        and len({(one.dtype, one.device) for one in group}) == 1
        and all(_is_dense(one) and not cast(Tensor, one.grad).is_sparse for one in group)
        and len({tuple((name, value is None) for name, value in state.get(one, {}).items()) for one in group}) == 1
        and len({float(state[one]["step"]) for one in group if "step" in state.get(one, {})}) <= 1
        for group in groups
    )


def _is_dense(weight: Tensor) -> bool:
    return weight.is_floating_point() and (
        weight.is_contiguous() or weight.is_contiguous(memory_format=torch.channels_last)
    )

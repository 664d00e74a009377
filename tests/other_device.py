"""A device of its own over host memory, on which what would fail on a GPU fails on any machine.

`torch.device("other")` is torch's PrivateUse1 backend. Its tensors hold a tensor of the host and compute with it, so
that they have values (a `meta` tensor has none), equal to those of the CPU to the last bit except in fused GRU cells.
As on a GPU, an operation on tensors of two devices raises, and so do a generator of the CPU for a draw on the device
and `.numpy()`. Allowed across devices, as on a GPU, are copies, single numbers among elementwise operands, and indices
on the host. Draws come from the CPU's generator. Importing this module registers the device in the process.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from pytorch_lightning.accelerators import Accelerator
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor, nn
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_setup_privateuseone_for_python_backend("other")
DEVICE = torch.device("other", 0)
HOST = torch.device("cpu")

aten = torch.ops.aten
COPIES = {aten.copy_.default, aten._copy_from.default}
BY_INDEX = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
"""Their indices may be on the host."""
BY_NUMBER = {aten.masked_fill.Tensor, aten.masked_fill_.Tensor, aten.fill_.Tensor, aten.fill.Tensor, *BY_INDEX}
"""Take a single number from the host, although they are not elementwise."""
PACKS = {aten._pack_padded_sequence.default, aten._pack_padded_sequence_backward.default}
"""Take and return the lengths of sequences on the host."""
MADE = ("arange.start_step", "randperm", "randperm.generator", "eye", "eye.m", "empty.memory_format", "empty_strided")
"""Factories from which torch composes the others."""


class Other(Tensor):
    """A tensor on the device: `held` has its values."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Other:
        facts: Any = {"dtype": held.dtype, "layout": held.layout, "device": DEVICE}
        if held.layout == torch.strided:
            facts |= {"strides": held.stride(), "storage_offset": held.storage_offset()}
        made = Tensor._make_wrapper_subclass(cls, held.size(), **facts)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled() and func._can_decompose():
            return func.decompose(*args, **kwargs)  # as outside of it, where autograd does so
        refuse_mixing(func, args, kwargs)
        return _computed(func, args, kwargs)

    @property
    def data(self) -> Tensor:  # type: ignore[override]
        return self.detach()

    @data.setter
    def data(self, value: Other) -> None:
        Tensor.data.__set__(self, value)  # type: ignore[attr-defined]
        self.held = value.held

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        copied = self.detach().clone().requires_grad_(self.requires_grad)
        if isinstance(self, nn.Parameter):
            copied._is_param = True
        return memo.setdefault(id(self), copied)

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError(f"can't convert {self.device} device type tensor to numpy; use Tensor.cpu() first")
        return self.cpu().numpy()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:
        # saved with the values; a checkpoint is always loaded to the host
        return self.held.detach().__reduce_ex__(protocol)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Other({self.held!r})"


def refuse_mixing(func: Any, args: Any, kwargs: Any) -> None:
    """Raises RuntimeError where a GPU would: for operands on two devices, or a generator of another one."""
    if func in COPIES:
        return
    generator = kwargs.get("generator")
    if generator is not None and generator.device != DEVICE:
        raise RuntimeError(f"{func}: expected a generator on {DEVICE}, but found one on {generator.device}")
    if func in PACKS:
        if isinstance(args[1] if func is aten._pack_padded_sequence.default else args[2], Other):
            raise RuntimeError(f"{func}: the lengths must be on the CPU")
        return
    read = [args[0], *args[2:]] if func in BY_INDEX else [args, kwargs]
    takes_numbers = torch.Tag.pointwise in func.tags or func in BY_NUMBER
    written = [at for at, one in enumerate(func._schema.arguments) if one.is_write and at < len(args)]
    hosts = [one for one in tree_leaves(read) if isinstance(one, Tensor) and not isinstance(one, Other)]
    into = [one for at in written for one in tree_leaves(args[at]) if one is not None and not isinstance(one, Other)]
    wrong = [one for one in hosts if one.ndim or not takes_numbers] + into
    if wrong:
        shapes = ", ".join(str(tuple(one.shape)) for one in wrong)
        raise RuntimeError(f"{func}: expected all tensors to be on {DEVICE}, but found {shapes} on the CPU")


def _computed(func: Any, args: Any, kwargs: Any) -> Any:
    device = kwargs.get("device")
    on_host = {**kwargs, "device": HOST} if device is not None else kwargs
    run = CELLS.get(func, func)
    out = run(*tree_map(_held, args), **tree_map(_held, on_host))
    if device is not None and device.type == "cpu":
        return out
    if func in PACKS and isinstance(out, tuple):
        return Other(out[0]), out[1]
    is_view = any(one.alias_info and not one.alias_info.is_write for one in func._schema.returns)
    # as in torch, a view belongs to inference mode where its base does
    with torch.inference_mode(args[0].is_inference()) if is_view else nullcontext():
        placed = tree_map(lambda one: Other(one) if isinstance(one, Tensor) else one, out)
    return return_and_correct_aliasing(func, args, kwargs, placed)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, Other) else value


def _gru_cell(x: Tensor, h: Tensor, state: Tensor, x_bias: Any = None, h_bias: Any = None) -> tuple[Tensor, Tensor]:
    """The new state of a GRU cell, and what its backward pass needs; torch has this kernel for devices alone."""
    x, h = (one if bias is None else one + bias for one, bias in ((x, x_bias), (h, h_bias)))
    (x_reset, x_update, x_new), (h_reset, h_update, h_new) = x.chunk(3, dim=1), h.chunk(3, dim=1)
    reset, update = torch.sigmoid(x_reset + h_reset), torch.sigmoid(x_update + h_update)
    new = torch.tanh(x_new + reset * h_new)
    return new + update * (state - new), torch.cat([reset, update, new, state, h_new], dim=1)


def _gru_cell_backward(grad: Tensor, kept: Tensor, has_bias: bool) -> tuple[Any, ...]:
    reset, update, new, state, h_new = kept.chunk(5, dim=1)
    to_new = grad * (1 - update) * (1 - new.square())
    to_update = grad * (state - new) * update * (1 - update)
    to_reset = to_new * h_new * reset * (1 - reset)
    to_x = torch.cat([to_reset, to_update, to_new], dim=1)
    to_h = torch.cat([to_reset, to_update, to_new * reset], dim=1)
    biases = (to_x.sum(dim=0), to_h.sum(dim=0)) if has_bias else (None, None)
    return to_x, to_h, grad * update, *biases


def _lstm_cell(
    x: Tensor, h: Tensor, cell: Tensor, x_bias: Any = None, h_bias: Any = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The new state and cell of an LSTM, and what its backward pass needs."""
    gates = x + h if x_bias is None else x + x_bias + h + h_bias
    takes, keeps, new, shows = gates.chunk(4, dim=1)
    takes, keeps, new, shows = torch.sigmoid(takes), torch.sigmoid(keeps), torch.tanh(new), torch.sigmoid(shows)
    after = keeps * cell + takes * new
    return shows * torch.tanh(after), after, torch.cat([takes, keeps, new, shows], dim=1)


def _lstm_cell_backward(
    of_state: Any, of_cell: Any, cell: Tensor, after: Tensor, kept: Tensor, has_bias: bool
) -> tuple[Any, ...]:
    takes, keeps, new, shows = kept.chunk(4, dim=1)
    of_state = torch.zeros_like(cell) if of_state is None else of_state
    squashed = torch.tanh(after)
    to_after = of_state * shows * (1 - squashed.square()) + (0 if of_cell is None else of_cell)
    to_gates = [
        to_after * new * takes * (1 - takes),
        to_after * cell * keeps * (1 - keeps),
        to_after * takes * (1 - new.square()),
        of_state * squashed * shows * (1 - shows),
    ]
    gates = torch.cat(to_gates, dim=1)
    return gates, to_after * keeps, gates.sum(dim=0) if has_bias else None


CELLS = {
    aten._thnn_fused_lstm_cell.default: _lstm_cell,
    aten._thnn_fused_lstm_cell_backward_impl.default: _lstm_cell_backward,
    aten._thnn_fused_gru_cell.default: _gru_cell,
    aten._thnn_fused_gru_cell_backward.default: _gru_cell_backward,
}


def _factory(name: str) -> Any:
    func = getattr(aten, name.partition(".")[0])
    overload = getattr(func, name.partition(".")[2] or "default")

    def make(*args: Any, **kwargs: Any) -> Other:
        refuse_mixing(overload, args, kwargs)
        return Other(overload(*args, **{**kwargs, "device": HOST, "pin_memory": None}))

    return make


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    _held(target).copy_(_held(source))
    return target


LIBRARY = torch.library.Library("aten", "IMPL")
for _name in MADE:
    LIBRARY.impl(_name, _factory(_name), "PrivateUse1")
LIBRARY.impl("_copy_from", _copy_from, "PrivateUse1")


class OtherAccelerator(Accelerator):
    """Places Lightning's Trainer on the device."""

    def setup_device(self, device: torch.device) -> None: ...

    def teardown(self) -> None: ...

    def get_device_stats(self, device: Any) -> dict[str, Any]:
        return {}

    @staticmethod
    def parse_devices(devices: Any) -> Any:
        return devices

    @staticmethod
    def get_parallel_devices(devices: Any) -> list[torch.device]:
        return [DEVICE]

    @staticmethod
    def auto_device_count() -> int:
        return 1

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def name() -> str:
        return "other"


def strategy() -> SingleDeviceStrategy:
    """For one Trainer: on the device, in one process."""
    return SingleDeviceStrategy(DEVICE, accelerator=OtherAccelerator())

"""Stacked recurrent layers over rows of different lengths.

Sources: bidirectional: Schuster & Paliwal 1997, doi:10.1109/78.650093; residual: Prakash et al. 2016, arXiv 1610.03098;
truncated backpropagation through time: Williams & Peng 1990, doi:10.1162/neco.1990.2.4.490.
Axes: B rows, T steps, I inputs, D hidden units, W directions, L layers, S vectors of a state, F = L * W * S * D.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from millstream.training.layers.cells import Cell, CellConfig, Gates


class RecurrentConfig(CellConfig, frozen=True, extra="forbid"):
    layers: int = Field(1, ge=1, description="stacked layers")
    both_ways: bool = Field(False, description="bidirectional")
    residual: bool = Field(False, description="adds the inputs of each layer but the first to its outputs")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout probability between layers")
    unrolled: bool = Field(False, description="computed step by step, with the same results as torch's layer")
    truncate: int = Field(
        0, ge=0, description="steps after which backpropagation through time ends; 0: never; needs `unrolled`"
    )

    @model_validator(mode="after")
    def _possible(self) -> RecurrentConfig:
        if self.truncate and not self.unrolled:
            raise ValueError("truncate cuts the graph between steps: set unrolled: true")
        if self.peephole and self.cell != "lstm":
            raise ValueError(f"peephole shows the gates the cell of an LSTM, and a {self.cell} has none")
        if (self.peephole or self.layer_norm) and not self.unrolled:
            raise ValueError("torch's layer has neither peepholes nor layer norm: set unrolled: true")
        return self


class Recurrent(nn.Module):
    """Outputs (B, T, W * D) of the last layer, 0 after a row's end, and the state (B, F) after each row's last step."""

    def __init__(self, inputs: int, config: RecurrentConfig) -> None:
        super().__init__()
        self.config, self.ways = config, 2 if config.both_ways else 1
        self.outputs = config.hidden * self.ways
        sizes = [inputs, *[self.outputs] * (config.layers - 1)]
        self.cells = nn.ModuleList(Cell(size, config) for size in sizes for _ in range(self.ways))
        self.dropout = nn.Dropout(config.dropout)

    @property
    def state_size(self) -> int:
        """F."""
        return sum(cell.vectors * self.config.hidden for cell in self._cells())

    def _cells(self) -> Iterator[Cell]:
        for cell in self.cells:
            assert isinstance(cell, Cell)
            yield cell

    def forward(
        self, x_BTI: Tensor, lengths_B: Tensor | None = None, state_BF: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """`lengths_B` in [0, T], T without it; a row of length 0 keeps its state. `state_BF` is 0 without it."""
        rows, steps = x_BTI.shape[:2]
        lengths_B = lengths_B if lengths_B is not None else torch.full((rows,), steps, device=x_BTI.device)
        starts = self._parts(state_BF if state_BF is not None else x_BTI.new_zeros(rows, self.state_size))
        ends: list[Tensor] = []
        cells, outputs_BTD = list(self._cells()), x_BTI
        for layer in range(self.config.layers):
            if layer:
                outputs_BTD = self.dropout(outputs_BTD)
            found = []
            for way in range(self.ways):
                at = layer * self.ways + way
                x = turned(outputs_BTD, lengths_B) if way else outputs_BTD
                run = unrolled if self.config.unrolled else fused
                made_BTD, end_BSD = run(cells[at], x, lengths_B, starts[at], self.config.truncate)
                found.append(turned(made_BTD, lengths_B) if way else made_BTD)
                ends.append(end_BSD.flatten(start_dim=1))
            made = torch.cat(found, dim=2)
            outputs_BTD = made + outputs_BTD if self.config.residual and layer else made
        return outputs_BTD, torch.cat(ends, dim=1)

    def last(self, state_BF: Tensor) -> Tensor:
        """The final hidden state of the last layer, both directions: (B, W * D)."""
        return torch.cat([part[:, 0] for part in self._parts(state_BF)[-self.ways :]], dim=1)

    @torch.no_grad()
    def trace(self, x_BTI: Tensor) -> dict[str, Tensor]:
        """Gates and state vectors (B, T, D) of the first layer, forward in time, by name."""
        cell = next(self._cells())
        state_BSD = x_BTI.new_zeros(len(x_BTI), cell.vectors, self.config.hidden)
        steps: list[Gates] = []
        for inputs_BN in cell.of_inputs(x_BTI).unbind(dim=1):
            state_BSD, gates = cell.step(inputs_BN, state_BSD)
            vectors = dict(zip(("hidden", "cell"), state_BSD.unbind(dim=1), strict=False))
            steps.append(gates | vectors)
        return {name: torch.stack([one[name] for one in steps], dim=1) for name in steps[0]}

    def _parts(self, state_BF: Tensor) -> list[Tensor]:
        """States (B, S, D) of each cell."""
        hidden = self.config.hidden
        parts = torch.split(state_BF, [cell.vectors * hidden for cell in self._cells()], dim=1)
        return [part.reshape(len(part), -1, hidden) for part in parts]


def fused(cell: Cell, x_BTI: Tensor, lengths_B: Tensor, state_BSD: Tensor, truncate: int = 0) -> tuple[Tensor, Tensor]:
    """Outputs and last states by torch's layer."""
    # packing refuses rows without a step: they are read as one, and their results put back below
    packed = pack_padded_sequence(x_BTI, lengths_B.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
    vectors = [one[None].contiguous() for one in state_BSD.unbind(dim=1)]
    made, end = cell.fused(packed, tuple(vectors) if len(vectors) > 1 else vectors[0])
    outputs_BTD, _ = pad_packed_sequence(made, batch_first=True, total_length=x_BTI.shape[1])
    end_BSD = torch.stack([one[0] for one in (end if isinstance(end, tuple) else (end,))], dim=1)
    is_empty_B = (lengths_B == 0)[:, None, None]
    return torch.where(is_empty_B, 0.0, outputs_BTD), torch.where(is_empty_B, state_BSD, end_BSD)


def unrolled(
    cell: Cell, x_BTI: Tensor, lengths_B: Tensor, state_BSD: Tensor, truncate: int = 0
) -> tuple[Tensor, Tensor]:
    """Outputs and last states step by step; the graph is cut every `truncate` steps."""
    outputs = []
    for at, inputs_BN in enumerate(cell.of_inputs(x_BTI).unbind(dim=1)):
        if truncate and at and at % truncate == 0:
            state_BSD = state_BSD.detach()
        new_BSD, _ = cell.step(inputs_BN, state_BSD)
        is_within_B = at < lengths_B
        state_BSD = torch.where(is_within_B[:, None, None], new_BSD, state_BSD)
        outputs.append(torch.where(is_within_B[:, None], new_BSD[:, 0], 0.0))
    return torch.stack(outputs, dim=1), state_BSD


def turned(x_BTI: Tensor, lengths_B: Tensor) -> Tensor:
    """Each row backwards in time, up to its length; the padding stays where it is."""
    at_T = torch.arange(x_BTI.shape[1], device=x_BTI.device)
    from_BT = torch.where(at_T < lengths_B[:, None], lengths_B[:, None] - 1 - at_T, at_T)
    return x_BTI.gather(1, from_BT[:, :, None].expand_as(x_BTI))

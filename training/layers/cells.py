"""One step of a recurrent layer, written out: plain recurrence, GRU and LSTM.

Sources: plain: Elman 1990, doi:10.1207/s15516709cog1402_1; GRU: Cho et al. 2014, arXiv 1406.1078, with the reset gate
applied after the product, as in cuDNN; LSTM: Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000;
peepholes: Gers & Schmidhuber 2000, doi:10.1109/IJCNN.2000.861302; layer norm: Ba et al. 2016, arXiv 1607.06450,
equations 20 to 22. Gates follow torch: a GRU's update gate is the share of the old state that is kept.
Axes: B rows, T steps, I inputs, D hidden units, S vectors of a state (1, and 2 of an LSTM: hidden state and cell), G
gates.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

Kind = Literal["rnn", "gru", "lstm"]
Gates = dict[str, Tensor]
"""Values (B, D) of each gate of a step, by name; in (0, 1), but for the `candidate` in (-1, 1)."""
NAMES: dict[str, tuple[str, ...]] = {
    "rnn": ("candidate",),
    "gru": ("reset", "update", "candidate"),
    "lstm": ("input", "forget", "candidate", "output"),
}
FUSED: dict[str, Any] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}


class CellConfig(BaseModel, frozen=True, extra="forbid"):
    cell: Kind = Field("lstm", description="plain recurrence, gated recurrent unit, long short-term memory")
    hidden: int = Field(128, ge=1, description="hidden units, D")
    activation: Literal["tanh", "relu"] = Field("tanh", description="of the hidden state of a plain recurrence")
    peephole: bool = Field(False, description="the gates of an LSTM also see its cell")
    layer_norm: bool = Field(
        False, description="layer norm of both products of a step, over all gates, and of the cell"
    )
    initial: Literal["uniform", "orthogonal"] = Field(
        "uniform",
        description="weights uniform in +-1/sqrt(D); or recurrent ones orthogonal (Saxe et al. 2014, arXiv 1312.6120) "
        "and input ones Glorot-uniform, biases 0",
    )
    forget_bias: float | None = Field(
        None, description="bias of an LSTM's forget gate, such as 1 (Jozefowicz et al. 2015); else as the other biases"
    )


class Cell(nn.Module):
    """The parameters of a layer in one direction, and its step.

    `fused` is torch's layer with the same parameters, which computes all steps at once; it knows neither peepholes nor
    layer norm.
    """

    def __init__(self, inputs: int, config: CellConfig) -> None:
        super().__init__()
        self.config, self.names, hidden = config, NAMES[config.cell], config.hidden
        more = {"nonlinearity": config.activation} if config.cell == "rnn" else {}
        self.fused = FUSED[config.cell](inputs, hidden, batch_first=True, **more)
        width = len(self.names) * hidden
        self.norms = nn.ModuleDict()
        if config.layer_norm:
            sizes = {"inputs": width, "state": width} | ({"cell": hidden} if config.cell == "lstm" else {})
            self.norms.update({name: nn.LayerNorm(size) for name, size in sizes.items()})
        if config.peephole:
            self.peepholes = nn.Parameter(torch.zeros(3, hidden))
        self._initialize()

    @property
    def is_fused(self) -> bool:
        """Whether torch's layer computes the same."""
        return not (self.config.peephole or self.config.layer_norm)

    @property
    def vectors(self) -> int:
        """S, the vectors of a state."""
        return 2 if self.config.cell == "lstm" else 1

    def of_inputs(self, x_BTI: Tensor) -> Tensor:
        """The part of the gates that depends on no state, for all steps at once: (B, T, G * D)."""
        return self._normed("inputs", nn.functional.linear(x_BTI, self.fused.weight_ih_l0, self.fused.bias_ih_l0))

    def step(self, inputs_BN: Tensor, state_BSD: Tensor) -> tuple[Tensor, Gates]:
        """The state after a step, and its gates; `inputs_BN` is a step of `of_inputs`. The output is the first vector
        of the state."""
        hidden_BD = state_BSD[:, 0]
        product_BN = nn.functional.linear(hidden_BD, self.fused.weight_hh_l0, self.fused.bias_hh_l0)
        from_state_BN = self._normed("state", product_BN)
        size = len(self.names)
        of_inputs, of_state = inputs_BN.chunk(size, dim=1), from_state_BN.chunk(size, dim=1)
        if self.config.cell == "rnn":
            candidate_BD = ACTIVATIONS[self.config.activation](inputs_BN + from_state_BN)
            return candidate_BD[:, None], {"candidate": candidate_BD}
        if self.config.cell == "gru":
            return self._gru(of_inputs, of_state, hidden_BD)
        return self._lstm([one + other for one, other in zip(of_inputs, of_state, strict=True)], state_BSD[:, 1])

    def _gru(self, inputs: Any, states: Any, hidden_BD: Tensor) -> tuple[Tensor, Gates]:
        reset_BD, update_BD = torch.sigmoid(inputs[0] + states[0]), torch.sigmoid(inputs[1] + states[1])
        candidate_BD = torch.tanh(inputs[2] + reset_BD * states[2])
        new_BD = (1 - update_BD) * candidate_BD + update_BD * hidden_BD
        return new_BD[:, None], {"reset": reset_BD, "update": update_BD, "candidate": candidate_BD}

    def _lstm(self, sums: list[Tensor], cell_BD: Tensor) -> tuple[Tensor, Gates]:
        of_input, of_forget, of_candidate, of_output = sums
        if self.config.peephole:
            of_input, of_forget = (
                one + weights_D * cell_BD for one, weights_D in zip((of_input, of_forget), self.peepholes, strict=False)
            )
        input_BD, forget_BD = torch.sigmoid(of_input), torch.sigmoid(of_forget)
        candidate_BD = torch.tanh(of_candidate)
        new_BD = forget_BD * cell_BD + input_BD * candidate_BD
        if self.config.peephole:
            of_output = of_output + self.peepholes[2] * new_BD
        output_BD = torch.sigmoid(of_output)
        hidden_BD = output_BD * torch.tanh(self._normed("cell", new_BD))
        gates = dict(zip(self.names, (input_BD, forget_BD, candidate_BD, output_BD), strict=True))
        return torch.stack([hidden_BD, new_BD], dim=1), gates

    def _normed(self, name: str, values: Tensor) -> Tensor:
        normed: Tensor = self.norms[name](values) if name in self.norms else values
        return normed

    @torch.no_grad()
    def _initialize(self) -> None:
        layer, hidden = self.fused, self.config.hidden
        if self.config.initial == "orthogonal":
            for at in range(len(self.names)):
                block = slice(at * hidden, (at + 1) * hidden)
                nn.init.orthogonal_(layer.weight_hh_l0[block])
                nn.init.xavier_uniform_(layer.weight_ih_l0[block])
            layer.bias_ih_l0.zero_()
            layer.bias_hh_l0.zero_()
        if self.config.forget_bias is not None and self.config.cell == "lstm":
            block = slice(hidden, 2 * hidden)
            layer.bias_ih_l0[block] = self.config.forget_bias
            layer.bias_hh_l0[block] = 0.0

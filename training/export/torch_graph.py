"""The ONNX graph of a network: what the predictor of its task returns, as far as it is numbers, traced by torch.

Axes: B rows, T tokens.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from millstream.tracking.dataset.signature import InputField
from millstream.tracking.errors import BadData
from millstream.training.export.graph_inputs import BATCH, TOKENS, dtype_of, is_ragged, names_of
from millstream.training.feed.batch import Ragged, Value
from millstream.training.objectives.distributions import Dropout
from millstream.training.predictions import (
    adversarial,
    classify,
    count,
    density,
    distributional,
    forecast,
    ordinal,
    quantiles,
    regress,
    segment,
    super_resolve,
    tags,
    variational,
)
from millstream.training.predictions.reinforce import dqn

EXAMPLE_ROWS, EXAMPLE_TOKENS = 3, 7
"""Of the traced example: torch would take an axis of length 1 for a constant."""
OPSET = 20


def trace(predictor: Any, network: nn.Module, fields: Sequence[InputField]) -> onnx.ModelProto:
    """Raises BadData for a network or predictor that has no graph."""
    graph = _Graph(predictor, network, fields).eval()
    arguments, shapes = _example(fields)
    with torch.no_grad():
        names = list(graph.columns(*arguments))
    # whatever was traced before would pin the lengths of this graph's axes
    torch._dynamo.reset()
    try:
        with _silent(), torch.no_grad():
            program = torch.onnx.export(
                graph,
                arguments,
                dynamo=True,
                verbose=False,
                input_names=[name for field in fields for name in names_of(field)],
                output_names=names,
                dynamic_shapes=(shapes,),
                opset_version=OPSET,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError, NotImplementedError) as error:
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        raise BadData.at("network", f"torch finds no ONNX graph of it ({cause})") from None
    if program is None:
        raise BadData.at("network", "torch finds no ONNX graph of it")
    return program.model_proto


@contextmanager
def _silent() -> Iterator[None]:
    """Without the progress that torch prints, and its warnings about libraries that no graph here needs."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


class _Graph(nn.Module):
    def __init__(self, predictor: Any, network: nn.Module, fields: Sequence[InputField]) -> None:
        super().__init__()
        self.predictor, self.network, self.fields = predictor, network, fields

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.columns(*values).values())

    def columns(self, *values: Tensor) -> dict[str, Tensor]:
        return columns_of(self.predictor, self.network, self._inputs(list(values)))

    def _inputs(self, values: list[Tensor]) -> list[Value]:
        found: list[Value] = []
        for field in self.fields:
            value, affine = values.pop(0), field.columns[0].affine
            if is_ragged(field):
                found.append(Ragged(value, values.pop(0)))
                continue
            if field.dtype != "int64":
                value = value.to(torch.float32)
            found.append(value if affine is None else (value - affine.offset) * affine.factor)
        return found


def columns_of(predictor: Any, network: Any, inputs: Sequence[Any]) -> dict[str, Tensor]:
    """The numeric columns of `predictor.predict`, as tensors; of a class those of its probabilities.

    Raises BadData for a predictor whose columns are no function of the inputs.
    """
    if isinstance(predictor, distributional.Predictor):
        if isinstance(predictor.head, Dropout):
            raise BadData.at("task distributional", "head dropout draws masks, which an ONNX graph does not repeat")
        distribution = predictor.distribution(network, tuple(inputs))
        mean, deviation = distribution.mean.double(), distribution.stddev.double()
        return {"prediction": predictor.raw(mean), "deviation": deviation / predictor.affine.factor}
    if isinstance(predictor, quantiles.Predictor):
        found_BQ = predictor.raw(network(*inputs).double()).sort(dim=1).values
        return {"prediction": quantiles.middle(found_BQ), "quantiles": found_BQ}
    if isinstance(predictor, regress.Predictor):
        return {"prediction": predictor.raw(network(*inputs).double())[:, 0]}
    if isinstance(predictor, classify.Predictor):
        scores_BK = network(*inputs)
        shift_K = torch.tensor(predictor.shift or [0.0], dtype=scores_BK.dtype)
        return {"probabilities": torch.softmax((scores_BK + shift_K).double(), dim=1)}
    if isinstance(predictor, forecast.Predictor):
        return {"forecast": network(*inputs).double().flatten(start_dim=1)}
    if isinstance(predictor, ordinal.Predictor):
        return {"probabilities": network(*inputs).double().exp()}
    if isinstance(predictor, tags.Predictor):
        return {"probabilities": torch.sigmoid(network(*inputs).double())}
    if isinstance(predictor, count.Predictor):
        return {"prediction": network(*inputs)[:, 0].double().exp()}
    if isinstance(predictor, density.Predictor):
        return {"log_density": network(*inputs).double()}
    if isinstance(predictor, segment.Predictor):
        probability_BN = torch.sigmoid(predictor.scores(network, inputs[0]).double()).flatten(start_dim=1)
        return {"probabilities": probability_BN}
    if isinstance(predictor, super_resolve.Predictor):
        fine_BN = network(inputs[0]).double().clamp(0, 1).flatten(start_dim=1)
        return {"fine": fine_BN * super_resolve.PEAK}
    if isinstance(predictor, variational.Predictor):
        mean_BZ, _ = network.encode(inputs[0])
        again = torch.sigmoid(network.decode(mean_BZ))
        error_B = (again - inputs[0]).square().flatten(start_dim=1).mean(dim=1)
        return {"latent": mean_BZ.double(), "reconstruction_error": error_B.double()}
    if isinstance(predictor, adversarial.Predictor):
        return {"real": torch.sigmoid(network(inputs[0]).double())}
    if isinstance(predictor, dqn.Predictor):
        values_BA = network(*inputs).double()
        return {"values": values_BA, "value": values_BA.amax(dim=1)}
    name = type(predictor).__module__.rpartition(".")[2]
    raise BadData.at(f"task {name}", "its predictions have no ONNX graph; serve the model, or load it with MLflow")


def _example(fields: Sequence[InputField]) -> tuple[tuple[Tensor, ...], tuple[dict[int, str], ...]]:
    """Example values of the graph's inputs, and the names of the axes that are free."""
    values: list[Tensor] = []
    shapes: list[dict[int, str]] = []
    for field in fields:
        if is_ragged(field):
            values += [torch.ones(EXAMPLE_ROWS, EXAMPLE_TOKENS, dtype=torch.int64)]
            values += [torch.arange(EXAMPLE_TOKENS, EXAMPLE_TOKENS - EXAMPLE_ROWS, -1)]
            shapes += [{0: BATCH, 1: TOKENS}, {0: BATCH}]
        else:
            values.append(torch.zeros(EXAMPLE_ROWS, *field.shape, dtype=getattr(torch, dtype_of(field))))
            shapes.append({0: BATCH})
    return tuple(values), tuple(shapes)

"""Exports a model to ONNX, and compares the numbers that onnxruntime computes with the model's own.

The graph begins behind the transforms of the rows, which are pandas code: the file beside it has its inputs, and the
transforms that lead to them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from millstream.tracking import seeds
from millstream.tracking.dataset.signature import InputField
from millstream.tracking.errors import BadData, BadEnvironment, TrainingFailed
from millstream.tracking.serving import replay
from millstream.training.estimator import Estimator
from millstream.training.export.graph_inputs import dtype_of
from millstream.training.serving import model_file
from millstream.training.serving.arrays import Inputs, Padded
from millstream.training.serving.model import Model

TOLERANCE = 1e-4
"""Largest difference, absolute for values under 1 and relative for larger ones."""
SIZES = ((1, 5), (2, 1), (64, 23))
"""Rows and longest row of the compared batches: none is that of the traced example."""


class Exported(BaseModel, frozen=True):
    path: str
    beside: str
    """JSON with inputs, outputs, and the transforms before the graph."""
    inputs: dict[str, str]
    outputs: dict[str, str]
    transforms: int
    """Transforms of columns that the caller applies before the graph."""
    largest_difference: float
    differences: dict[str, float]
    """Of each output, over all compared rows."""
    rows: int
    """Rows compared."""


def export(folder: Path, output: Path) -> Exported:
    """Write the graph of the model in `folder` to the file `output`, and its description to `output`.json.

    Raises BadData for a model without a graph, and for a file that exists; TrainingFailed when onnxruntime computes
    other numbers than the model; BadEnvironment without the extra `export`. Nothing is left behind then.
    """
    beside = output.with_name(f"{output.name}.json")
    for file in (output, beside):
        if file.exists():
            raise BadData.at(file, "is there already; give a path that is not, nothing is overwritten")
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise BadEnvironment.at("onnx", f"{error}; pip install 'millstream[export]'") from None
    model = model_file.load(folder)
    graph = graph_of(model)
    onnx.checker.check_model(graph)
    content = graph.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    differences, rows = compare(model, session), sum(rows for rows, _ in SIZES)
    wrong = {name: value for name, value in differences.items() if not value <= TOLERANCE}
    if wrong:
        raise TrainingFailed.at(output, f"onnxruntime computes other numbers: differences {wrong}; serve the model")
    about = _about(model, session, differences, rows)
    output.write_bytes(content)
    beside.write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")
    return Exported(
        path=str(output),
        beside=str(beside),
        inputs={one["name"]: f"{one['dtype']} {one['shape']}" for one in about["inputs"]},
        outputs={one["name"]: f"{one['dtype']} {one['shape']}" for one in about["outputs"]},
        transforms=len(about["transforms"]),
        largest_difference=max(differences.values()),
        differences=differences,
        rows=rows,
    )


def graph_of(model: Model) -> Any:
    """The graph, an `onnx.ModelProto`, of a network or estimator. Raises BadData where there is none."""
    runtime: Any = model.runtime
    part, predictor, fields = runtime.part, runtime.predictor, model.signature.inputs
    if isinstance(part, Estimator):
        from millstream.training.export import estimator_graph

        return estimator_graph.build(predictor, part, fields)
    from millstream.training.export import gru_graph, torch_graph
    from millstream.training.layers.recurrent import Recurrent
    from millstream.training.networks.rnn.gru import GRU
    from millstream.training.predictions import classify

    if isinstance(part, GRU):
        if not isinstance(predictor, classify.Predictor):
            raise BadData.at("network rnn/gru", "has a graph for the task classify alone; serve the model")
        return gru_graph.build(predictor, part, fields[0])
    if isinstance(getattr(part, "recurrent", None), Recurrent):
        name = type(part).__module__.removeprefix(f"{model_file.NETWORKS}.").replace(".", "/")
        message = "torch would fix the length of the rows to that of its example, and no graph is written for it"
        raise BadData.at(f"network {name}", f"{message}; serve the model, or load it with MLflow")
    return torch_graph.trace(predictor, part, fields)


def compare(model: Model, session: Any) -> dict[str, float]:
    """The largest difference of each output that is a column of the model, over batches of `SIZES`."""
    names = [one.name for one in session.get_outputs()]
    found = dict.fromkeys((name for name in names if name in model.runtime.outputs), 0.0)
    for at, (rows, longest) in enumerate(SIZES):
        inputs, feed = drawn(model.signature.inputs, rows, longest, at)
        expected = model.runtime.predict(inputs)
        values = dict(zip(names, session.run(names, feed), strict=True))
        for name in found:
            found[name] = max(found[name], difference(np.stack(list(expected[name])), values[name]))
    return found


def difference(expected: NDArray[Any], found: NDArray[Any]) -> float:
    """The largest, relative to values over 1; infinite for another shape, or a number that only one of both has."""
    one, other = np.asarray(expected, np.float64), np.asarray(found, np.float64)
    if one.shape != other.shape or not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return math.inf
    finite = np.isfinite(one)
    gaps = np.abs(one[finite] - other[finite]) / np.maximum(1, np.abs(one[finite]))
    return float(gaps.max(initial=0))


def drawn(fields: Sequence[InputField], rows: int, longest: int, number: int) -> tuple[Inputs, dict[str, NDArray[Any]]]:
    """Random inputs of the model, and the same as the graph takes them."""
    draw = np.random.default_rng(seeds.key("export", number))
    inputs: list[NDArray[Any] | Padded] = []
    feed: dict[str, NDArray[Any]] = {}
    for field in fields:
        first = field.columns[0]
        if first.layout == "list":
            lengths_B = draw.integers(1, longest + 1, rows)
            lengths_B[0] = longest
            values_BT = draw.integers(1, len(first.vocabulary or ()), (rows, longest))
            values_BT[np.arange(longest) >= lengths_B[:, None]] = 0
            inputs.append(Padded(values_BT, lengths_B))
            feed |= {field.name: values_BT, f"{field.name}_lengths": lengths_B}
            continue
        raw = _values(field, rows, draw)
        feed[field.name] = raw
        value = raw.astype(field.dtype)
        if first.affine is not None:
            value = (value - np.float32(first.affine.offset)) * np.float32(first.affine.factor)
        inputs.append(value.astype(field.dtype))
    return tuple(inputs), feed


def _values(field: InputField, rows: int, draw: np.random.Generator) -> NDArray[Any]:
    shape = (rows, *field.shape)
    dtype = np.dtype(dtype_of(field))
    if dtype.kind == "u":
        return draw.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    if dtype.kind == "i":
        sizes = np.maximum(1, field.sizes if field.meaning == "category" else 1)
        return draw.integers(0, sizes, shape).astype(dtype)
    values = draw.random(shape) if field.meaning in ("image", "video", "mask") else draw.normal(0, 2, shape)
    return values.astype(dtype)


def _about(model: Model, session: Any, differences: dict[str, float], rows: int) -> dict[str, Any]:
    """What somebody who has the graph alone needs to know."""
    columns = {field.name: [column.name for column in field.columns] for field in model.signature.inputs}
    predictor: Any = getattr(model.runtime, "predictor", None)
    labels = {
        name: list(getattr(predictor, name)) for name in ("classes", "tags", "actions") if hasattr(predictor, name)
    }
    manifest = model.manifest
    raw = [{"name": column.name, "dtype": column.dtype, "shape": list(column.shape)} for column in model.raw_columns]
    return {
        "inputs": [{**_described(one), "columns": columns.get(one.name, [])} for one in session.get_inputs()],
        "outputs": [_described(one) for one in session.get_outputs()],
        **{name: found for name, found in labels.items() if found},
        "raw_columns": raw,
        "transforms": replay.applied(manifest) if manifest is not None else [],
        "compared": {"rows": rows, "differences": differences, "sizes": [list(size) for size in SIZES]},
    }


def _described(one: Any) -> dict[str, Any]:
    return {"name": one.name, "dtype": one.type.removeprefix("tensor(").removesuffix(")"), "shape": list(one.shape)}

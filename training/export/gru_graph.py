"""The ONNX graph of a GRU that reads rows of different lengths, by the operator GRU, which knows their lengths.

torch traces a recurrent layer over padding, or for the lengths of its example alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from millstream.tracking.dataset.signature import InputField
from millstream.training.networks.rnn.gru import GRU

OPSET = 20


def build(predictor: Any, network: GRU, field: InputField) -> onnx.ModelProto:
    """Class probabilities (B, K) for token numbers (B, T) and lengths (B,)."""
    constants: dict[str, Any] = {
        "embedding": _array(network.embedding.weight),
        "head_w": _array(network.head.weight),
        "head_b": _array(network.head.bias),
        "shift": np.array(predictor.shift or [0.0], np.float32),
        "one": np.array(1, np.int64),
    }
    tokens, lengths = field.name, f"{field.name}_lengths"
    nodes = [
        helper.make_node("Gather", ["embedding", tokens], ["embedded"]),
        helper.make_node("Transpose", ["embedded"], ["read_0"], perm=[1, 0, 2]),
        # a row without tokens is read as one of padding
        helper.make_node("Max", [lengths, "one"], ["at_least_one"]),
        helper.make_node("Cast", ["at_least_one"], ["lengths_int32"], to=TensorProto.INT32),
    ]
    directions = ("", "_reverse")[: network.ways]
    for layer in range(network.read.num_layers):
        weights = [_gates(network.read, f"weight_{part}_l{layer}", directions) for part in ("ih", "hh")]
        biases = [_gates(network.read, f"bias_{part}_l{layer}", directions) for part in ("ih", "hh")]
        names = [f"{part}_{layer}" for part in ("w", "r", "b")]
        constants |= dict(zip(names, (*weights, np.concatenate(biases, axis=1)), strict=True))
        nodes.append(
            helper.make_node(
                "GRU",
                [f"read_{layer}", *names, "lengths_int32"],
                [f"all_{layer}", f"last_{layer}"],
                hidden_size=network.read.hidden_size,
                linear_before_reset=1,
                direction="bidirectional" if network.ways > 1 else "forward",
            )
        )
        # (T, directions, B, D) to (T, B, directions * D)
        constants[f"shape_{layer}"] = np.array([0, 0, -1], np.int64)
        nodes.append(helper.make_node("Transpose", [f"all_{layer}"], [f"turned_{layer}"], perm=[0, 2, 1, 3]))
        nodes.append(helper.make_node("Reshape", [f"turned_{layer}", f"shape_{layer}"], [f"read_{layer + 1}"]))
    constants["flat"] = np.array([0, -1], np.int64)
    nodes += [
        helper.make_node("Transpose", [f"last_{network.read.num_layers - 1}"], ["state"], perm=[1, 0, 2]),
        helper.make_node("Reshape", ["state", "flat"], ["features"]),
        helper.make_node("Gemm", ["features", "head_w", "head_b"], ["raw_scores"], transB=1),
        helper.make_node("Add", ["raw_scores", "shift"], ["scores"]),
        helper.make_node("Cast", ["scores"], ["scores_double"], to=TensorProto.DOUBLE),
        helper.make_node("Softmax", ["scores_double"], ["probabilities"], axis=1),
    ]
    inputs = [
        helper.make_tensor_value_info(tokens, TensorProto.INT64, ["batch", "tokens"]),
        helper.make_tensor_value_info(lengths, TensorProto.INT64, ["batch"]),
    ]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.DOUBLE, ["batch", len(predictor.classes)])]
    held = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "gru", inputs, outputs, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def _array(values: Any) -> Any:
    return np.asarray(values.detach().cpu())


def _gates(read: Any, name: str, directions: tuple[str, ...]) -> Any:
    """Parameters of each direction; torch's gates are reset, update, new, and ONNX's update, reset, new."""
    found = []
    for direction in directions:
        reset, update, new = np.split(_array(getattr(read, f"{name}{direction}")), 3)
        found.append(np.concatenate([update, reset, new]))
    return np.stack(found)

"""The ONNX graph of a fitted estimator: boosted trees by their own nodes, scikit-learn's by skl2onnx.

Axes: B rows, D values of all inputs, K classes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from millstream.tracking.dataset.signature import InputField
from millstream.tracking.errors import BadData
from millstream.training.export.graph_inputs import BATCH, dtype_of
from millstream.training.networks.classical._scikit_learn import Scikit
from millstream.training.networks.classical.xgboost import BINARY, XGBoost
from millstream.training.predictions import classify, regress

OPSETS = {"": 18, "ai.onnx.ml": 3}
IR_VERSION = 9
_PREFIX = "estimator_"
FLAT = "flat"
"""The values of all inputs, float32 (B, D)."""


def build(predictor: Any, estimator: Any, fields: Sequence[InputField]) -> onnx.ModelProto:
    """Raises BadData for an estimator without a graph."""
    name = type(estimator).__module__.rpartition(".")[2]
    if not isinstance(predictor, classify.Predictor | regress.Predictor):
        would = "serve the model, or load it with MLflow"
        raise BadData.at(f"network classical/{name}", f"what it returns is computed by numpy, without a graph; {would}")
    if isinstance(estimator, XGBoost):
        scores = _trees(estimator)
    elif isinstance(estimator, Scikit):
        scores = _of_scikit_learn(estimator, name)
    else:
        raise BadData.at(f"network classical/{name}", "no ONNX operators compute it; serve the model")
    joint = [(FLAT, scores.graph.input[0].name)]
    whole = compose.merge_models(_flattened(fields), scores, io_map=joint, prefix2=_PREFIX)
    _finish(whole, predictor, f"{_PREFIX}{scores.graph.output[0].name}")
    return whole


def _model(nodes: Any, inputs: Any, outputs: Any, constants: dict[str, Any] | None = None) -> onnx.ModelProto:
    held = [numpy_helper.from_array(values, name) for name, values in (constants or {}).items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, held)
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _flattened(fields: Sequence[InputField]) -> onnx.ModelProto:
    nodes, inputs, constants = [], [], dict[str, Any]()
    constants["rows"] = np.array([0, -1], np.int64)
    for at, field in enumerate(fields):
        kind, affine = helper.np_dtype_to_tensor_dtype(np.dtype(dtype_of(field))), field.columns[0].affine
        inputs.append(helper.make_tensor_value_info(field.name, kind, [BATCH, *field.shape]))
        nodes.append(helper.make_node("Cast", [field.name], [f"float_{at}"], to=TensorProto.FLOAT))
        last = f"float_{at}"
        if affine is not None:
            constants |= {f"offset_{at}": np.float32(affine.offset), f"factor_{at}": np.float32(affine.factor)}
            nodes.append(helper.make_node("Sub", [last, f"offset_{at}"], [f"moved_{at}"]))
            nodes.append(helper.make_node("Mul", [f"moved_{at}", f"factor_{at}"], [f"scaled_{at}"]))
            last = f"scaled_{at}"
        nodes.append(helper.make_node("Reshape", [last, "rows"], [f"flat_{at}"]))
    nodes.append(helper.make_node("Concat", [f"flat_{at}" for at in range(len(fields))], [FLAT], axis=1))
    constants = {name: np.asarray(value) for name, value in constants.items()}
    width = sum(int(np.prod(field.shape)) for field in fields)
    outputs = [helper.make_tensor_value_info(FLAT, TensorProto.FLOAT, [BATCH, width])]
    return _model(nodes, inputs, outputs, constants)


def _finish(model: onnx.ModelProto, predictor: Any, scores: str) -> None:
    """Name the output as the model's column, and compute it from the scores (B, K), (B, 1) or (B,)."""
    graph = model.graph
    del graph.output[:]
    if isinstance(predictor, regress.Predictor):
        affine = predictor.affine
        held = {"r_factor": np.float64(affine.factor), "r_offset": np.float64(affine.offset), "r_line": np.array([-1])}
        graph.node.extend(
            [
                helper.make_node("Reshape", [scores, "r_line"], ["r_flat"]),
                helper.make_node("Cast", ["r_flat"], ["r_double"], to=TensorProto.DOUBLE),
                helper.make_node("Div", ["r_double", "r_factor"], ["r_divided"]),
                helper.make_node("Add", ["r_divided", "r_offset"], ["prediction"]),
            ]
        )
        graph.output.append(helper.make_tensor_value_info("prediction", TensorProto.DOUBLE, [BATCH]))
    else:
        held = {
            "r_least": np.float32(np.finfo(np.float32).tiny),
            "r_shift": np.array(predictor.shift or [0.0], np.float32),
        }
        graph.node.extend(
            [
                helper.make_node("Cast", [scores], ["r_float"], to=TensorProto.FLOAT),
                helper.make_node("Max", ["r_float", "r_least"], ["r_lifted"]),
                helper.make_node("Log", ["r_lifted"], ["r_log"]),
                helper.make_node("Add", ["r_log", "r_shift"], ["r_shifted"]),
                helper.make_node("Cast", ["r_shifted"], ["r_double"], to=TensorProto.DOUBLE),
                helper.make_node("Softmax", ["r_double"], ["probabilities"], axis=1),
            ]
        )
        shape = [BATCH, len(predictor.classes)]
        graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.DOUBLE, shape))
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in held.items())


def _of_scikit_learn(estimator: Scikit, name: str) -> onnx.ModelProto:
    """Probabilities (B, K) or values (B, 1) for a float32 (B, D)."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

    fitted, where = estimator.fitted, f"network classical/{name}"
    options = {id(fitted): {"zipmap": False}} if estimator.classes else None
    kind = [("x", FloatTensorType([None, fitted.n_features_in_]))]
    try:
        made = convert_sklearn(fitted, initial_types=kind, options=options, target_opset=OPSETS)
    except (MissingConverter, MissingShapeCalculator, NotImplementedError, RuntimeError) as error:
        raise BadData.at(where, f"skl2onnx does not convert it ({str(error).splitlines()[0]})") from None
    made.ir_version = IR_VERSION
    # the operators are the same in these versions, and models of others are not merged
    del made.opset_import[:]
    made.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in OPSETS.items())
    if not estimator.classes:
        return made
    if len(fitted.classes_) != estimator.classes:
        raise BadData.at(where, f"{len(fitted.classes_)} of {estimator.classes} classes were learned; train it on all")
    del made.graph.output[0]  # the label
    return made


def _trees(estimator: XGBoost) -> onnx.ModelProto:
    """Probabilities (B, K) or values (B, 1) for a float32 (B, D).

    A set of categories is no split of ONNX: whether a code is in the set of a node is looked up in a table, and
    becomes one more column of 0 and 1.
    """
    learner = json.loads(estimator.fitted.save_raw("json"))["learner"]
    trees = learner["gradient_booster"]["model"]
    width = len(estimator.kinds)
    sets: dict[int, list[list[int]]] = {}
    nodes: dict[str, list[Any]] = {name: [] for name in _NODES}
    leaves: dict[str, list[Any]] = {"treeids": [], "nodeids": [], "ids": [], "weights": []}
    places: dict[tuple[int, int], tuple[int, int]] = {}
    for number, tree in enumerate(trees["trees"]):
        members = _members(tree)
        for at, left in enumerate(tree["left_children"]):
            is_leaf, feature = left == -1, tree["split_indices"][at]
            if is_leaf:
                leaves["treeids"].append(number)
                leaves["nodeids"].append(at)
                leaves["ids"].append(trees["tree_info"][number])
                leaves["weights"].append(tree["split_conditions"][at])
            elif at in members:
                rank = len(sets.setdefault(feature, []))
                sets[feature].append(members[at])
                places[number, at] = (feature, rank)
            row = (
                *(number, at, 0 if is_leaf else feature, 0.0 if is_leaf else tree["split_conditions"][at]),
                *("LEAF" if is_leaf else "BRANCH_LT", 0 if is_leaf else left),
                *(0 if is_leaf else tree["right_children"][at], 0 if is_leaf else tree["default_left"][at]),
            )
            for name, value in zip(_NODES, row, strict=True):
                nodes[name].append(value)
    starts, start = {}, width
    for feature, found in sorted(sets.items()):
        starts[feature] = start
        start += len(found)
    for at, place in enumerate(zip(nodes["treeids"], nodes["nodeids"], strict=True)):
        if place in places:
            feature, rank = places[place]
            nodes["featureids"][at], nodes["values"][at] = starts[feature] + rank, 0.5
    classes = 1 if estimator.classes in (0, BINARY) else estimator.classes
    return _ensemble(estimator, nodes, leaves, dict(sorted(sets.items())), _base(learner, estimator.classes), classes)


_NODES = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids", "missing")


def _members(tree: dict[str, Any]) -> dict[int, list[int]]:
    """For each node that splits by a set: the categories that go to the right."""
    spans = zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True)
    return {node: tree["categories"][start : start + size] for node, start, size in spans}


def _base(learner: dict[str, Any], classes: int) -> list[float]:
    """The margins that the sums of leaves begin with."""
    found = np.atleast_1d(json.loads(learner["learner_model_param"]["base_score"])).astype(np.float64)
    return [float(np.log(one / (1 - one))) if classes == BINARY else float(one) for one in found]


def _ensemble(
    estimator: XGBoost,
    nodes: dict[str, list[Any]],
    leaves: dict[str, list[Any]],
    sets: dict[int, list[list[int]]],
    base: list[float],
    targets: int,
) -> onnx.ModelProto:
    steps, constants, columns = [], dict[str, Any](), ["x"]
    for feature, found in sets.items():
        codes = 2 + max(max(one, default=0) for one in found)
        table = np.zeros((codes, len(found)), np.float32)
        for rank, one in enumerate(found):
            table[one, rank] = 1
        constants |= {f"table_{feature}": table, f"column_{feature}": np.array(feature, np.int64)}
        constants[f"last_{feature}"] = np.array(codes - 1, np.int64)
        steps += [
            helper.make_node("Gather", ["x", f"column_{feature}"], [f"code_{feature}"], axis=1),
            helper.make_node("Cast", [f"code_{feature}"], [f"number_{feature}"], to=TensorProto.INT64),
            # a code beyond all sets is in none of them
            helper.make_node("Min", [f"number_{feature}", f"last_{feature}"], [f"known_{feature}"]),
            helper.make_node("Gather", [f"table_{feature}", f"known_{feature}"], [f"in_{feature}"], axis=0),
        ]
        columns.append(f"in_{feature}")
    steps.append(helper.make_node("Concat", columns, ["wide"], axis=1))
    attributes: dict[str, Any] = {f"nodes_{name}": nodes[name] for name in _NODES[:-1]}
    attributes["nodes_missing_value_tracks_true"] = nodes["missing"]
    attributes |= {f"target_{name}": values for name, values in leaves.items()}
    attributes["base_values"] = (base * targets)[:targets]
    ensemble = helper.make_node("TreeEnsembleRegressor", ["wide"], ["margins"], domain="ai.onnx.ml", n_targets=targets)
    ensemble.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
    steps.append(ensemble)
    last = "margins"
    if estimator.classes == BINARY:
        constants["whole"] = np.array(1, np.float32)
        steps += [
            helper.make_node("Sigmoid", ["margins"], ["second"]),
            helper.make_node("Sub", ["whole", "second"], ["first"]),
            helper.make_node("Concat", ["first", "second"], ["shares"], axis=1),
        ]
        last = "shares"
    elif estimator.classes:
        steps.append(helper.make_node("Softmax", ["margins"], ["shares"], axis=1))
        last = "shares"
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [BATCH, len(estimator.kinds)])]
    outputs = [helper.make_tensor_value_info(last, TensorProto.FLOAT, [BATCH, max(targets, estimator.classes)])]
    return _model(steps, inputs, outputs, constants)

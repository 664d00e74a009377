"""onnxruntime computes from the exported graph what the model predicts, for rows and lengths that were not traced."""

from __future__ import annotations

import json
import math

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from millstream.tracking.dataset.records import Affine
from millstream.tracking.errors import BadData, TrainingFailed
from millstream.training.estimator_module import EstimatorModule
from millstream.training.export import onnx_file
from millstream.training.export.torch_graph import columns_of
from millstream.training.networks.classical import xgboost
from millstream.training.networks.rnn import gru
from millstream.training.objectives.distributions import Dropout
from millstream.training.predictions import classify, regress
from millstream.training.predictions.distributional import Predictor as Distributional
from millstream.training.serving.model import Model, Trained
from millstream.training.serving.network import Network
from tests.training.compatible import NETWORKS, pairs
from tests.training.serving.test_model_file import saved
from tests.training.signatures import category, number, signature, target, tokens

pytestmark = pytest.mark.usefixtures("one_thread")
NUMPY, LENGTHS = "what it returns is computed by numpy", "torch would fix the length of the rows"
WITHOUT_GRAPH = {
    **{
        f"classical/{name}": NUMPY for name in ("dbscan", "gaussian_mixture", "kernel_density", "kmeans", "pca", "tsne")
    },
    "rnn/recurrent": LENGTHS,
}


def compared(model):
    graph = onnx_file.graph_of(model)
    onnx.checker.check_model(graph)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return onnx_file.compare(model, session), session


def of_a_network(name):
    task = next(pair for pair in pairs() if pair.network == name).task_fitted().eval()
    is_fitted = isinstance(task.network, EstimatorModule)
    runtime = Trained(task.network.estimator, task.predictor) if is_fitted else Network(task.network, task.predictor)
    return Model(runtime, task.signature, None)


def is_dear(name):
    return not name.startswith(("classical/", "rnn/"))


@pytest.mark.parametrize("name", [pytest.param(one, marks=[pytest.mark.slow] * is_dear(one)) for one in NETWORKS])
def test_every_network_has_a_graph_with_its_numbers_or_is_refused(name):
    model = of_a_network(name)
    if name in WITHOUT_GRAPH:
        with pytest.raises(BadData, match=f"network {name}: {WITHOUT_GRAPH[name]}"):
            onnx_file.graph_of(model)
        return
    differences, session = compared(model)
    assert differences
    assert max(differences.values()) < onnx_file.TOLERANCE
    assert all(one.shape[0] == "batch" for one in session.get_inputs())


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_boosted_trees_split_sets_of_categories(classes):
    fields = (number("a"), number("b"), category("c", 12), category("d", 5))
    price = number("price", role="target", affine=Affine(offset=3.0, factor=0.25))
    of = signature(*fields, target(classes) if classes else price)
    estimator = xgboost.build(xgboost.Config(rounds=12, depth=4), of)
    draw = np.random.default_rng(0)
    codes = draw.integers(0, (12, 5), (400, 2))
    numbers = draw.normal(size=(400, 2)).astype(np.float32)
    score = numbers[:, 0] + 2 * np.isin(codes[:, 0], (1, 5, 7)) - np.isin(codes[:, 1], (0, 3)) * numbers[:, 1]
    truth = np.digitize(score, np.quantile(score, np.arange(1, classes) / classes)) if classes else score
    estimator.fit((numbers, codes), truth, np.ones(400, np.float32))
    assert any(tree["categories"] for tree in json.loads(estimator.fitted.save_raw("json"))["learner"][
        "gradient_booster"]["model"]["trees"])  # fmt: skip
    names = tuple(map(str, range(classes)))
    predictor = classify.Predictor(classes=names) if classes else regress.Predictor(affine=price.affine)
    differences, _ = compared(Model(Trained(estimator, predictor), of, None))
    assert max(differences.values()) < 1e-6


def test_a_gru_reads_each_row_to_its_own_end():
    of = signature(tokens(30, 9), target(3))
    torch.manual_seed(0)
    config = gru.Config(embedding=5, hidden=6, layers=2, both_ways=True, dropout=0.5)
    predictor = classify.Predictor(classes=("a", "b", "c"), shift=(0.5, 0.0, -1.0))
    model = Model(Network(gru.build(config, of).eval(), predictor), of, None)
    differences, session = compared(model)
    assert differences["probabilities"] < 1e-6
    # padding is not read, and a row without tokens is one of padding
    inputs, feed = onnx_file.drawn(of.inputs, 4, 6, 0)
    feed["tokens_lengths"][3] = 0
    wider = np.pad(feed["tokens"], ((0, 0), (0, 3)), constant_values=7)
    (first,) = session.run(None, feed)
    (second,) = session.run(None, {**feed, "tokens": wider})
    np.testing.assert_allclose(first[:3], second[:3], rtol=1e-6)
    inputs[0].lengths_B[3] = 0
    np.testing.assert_allclose(np.stack(model.runtime.predict(inputs)["probabilities"]), first, rtol=1e-5)


@pytest.mark.bad_input
def test_random_predictions_have_no_graph():
    predictor = Distributional(
        affine=Affine(), head=Dropout(name="dropout", precision=1.0, passes=3), interval=0.9, seed=0
    )
    with pytest.raises(BadData, match="head dropout draws masks"):
        columns_of(predictor, None, [])


def test_differences_are_relative_for_large_values_and_infinite_for_what_is_no_number():
    one = np.array([[0.5, -200.0]])
    assert onnx_file.difference(one, one + np.array([[1e-5, 0.02]])) == pytest.approx(1e-4, rel=1e-3)
    assert onnx_file.difference(one, one[:, :1]) == math.inf
    assert onnx_file.difference(one, np.array([[0.5, np.nan]])) == math.inf
    assert onnx_file.difference(np.array([np.nan]), np.array([np.nan])) == 0


def test_the_graph_lies_beside_what_it_takes_and_nothing_is_overwritten(tmp_path, monkeypatch):
    _, folder = saved(tmp_path, "classify, trees")
    output = tmp_path / "trees.onnx"
    done = onnx_file.export(folder, output)
    about = json.loads((tmp_path / "trees.onnx.json").read_text())
    assert [(one["name"], one["dtype"], one["shape"], one["columns"]) for one in about["inputs"]] == [
        ("numbers", "float", ["batch", 2], ["a", "b"])
    ]
    assert about["classes"] == ["class 0", "class 1", "class 2"]
    assert done.largest_difference == max(about["compared"]["differences"].values()) < 1e-6
    with pytest.raises(BadData, match="is there already"):
        onnx_file.export(folder, output)
    output.unlink()
    (tmp_path / "trees.onnx.json").unlink()
    monkeypatch.setattr(onnx_file, "compare", lambda model, session: {"probabilities": 0.5})
    with pytest.raises(TrainingFailed, match="onnxruntime computes other numbers"):
        onnx_file.export(folder, output)
    assert [path.name for path in tmp_path.glob("trees*")] == []

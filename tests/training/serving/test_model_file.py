"""What a registered model predicts is what its task does, though it is rebuilt without the task."""

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from millstream import pyfunc
from millstream.tracking.dataset.records import Affine
from millstream.tracking.errors import BadData
from millstream.tracking.recipe import plugins
from millstream.training.assembly import model_folder
from millstream.training.assembly.build import parts_of
from millstream.training.assembly.dry_run import _rows
from millstream.training.feed.batch import Ragged
from millstream.training.serving import model_file
from millstream.training.serving.arrays import Padded
from tests.training import fitted
from tests.training.signatures import image, number, series, signature, target, tokens

NUMBERS = (number("a"), number("b"))
PRICE = number("price", role="target", affine=Affine(offset=3.0, factor=0.25))
PIXELS = Affine(factor=1 / 255)
SMALL = image(1, 8, 8).model_copy(update={"affine": PIXELS})
LABEL = {"target": "label"}
COST = {"target": "price"}
MLP = {"name": "mlp/mlp", "hidden": [4]}


@dataclass(frozen=True)
class Case:
    network: dict[str, Any]
    columns: tuple[Any, ...]
    task: dict[str, Any] = field(default_factory=dict)


MASK = image(1, 32, 32).model_copy(update={"name": "mask", "role": "target", "meaning": "mask"})
TAGS = number("tags", role="target").model_copy(update={"shape": (3,), "layout": "tensor", "meaning": "vector"})
LARGE = image(2, 16, 16).model_copy(update={"name": "large", "role": "target", "affine": PIXELS})
CASES = {
    "classify": Case({"name": "cnn/lenet"}, (SMALL, target(3)), LABEL),
    "classify, tokens": Case({"name": "rnn/gru"}, (tokens(5, 9), target(2)), LABEL),
    "classify, trees": Case({"name": "classical/xgboost", "rounds": 3}, (*NUMBERS, target(3)), LABEL),
    "regress": Case(MLP, (*NUMBERS, PRICE), COST),
    "regress, trees": Case({"name": "classical/forest", "trees": 3}, (*NUMBERS, PRICE), COST),
    "count": Case(MLP, (*NUMBERS, number("calls", role="target")), {"target": "calls"}),
    "quantiles": Case(MLP, (*NUMBERS, PRICE), COST),
    "distributional": Case(MLP, (*NUMBERS, PRICE), COST | {"head": {"name": "mixture", "parts": 2}}),
    "distributional, dropout": Case(
        MLP | {"dropout": 0.5}, (*NUMBERS, PRICE), COST | {"head": {"name": "dropout", "precision": 2.0, "passes": 3}}
    ),
    "forecast": Case(
        {"name": "rnn/linear"}, (series("past", 6, 2), series("series", 3, 2).model_copy(update={"role": "target"}))
    ),
    "next_frames": Case({"name": "rnn/recurrent"}, (series("roll", 6, 3),)),
    "ordinal": Case(MLP, (*NUMBERS, target(4)), LABEL),
    "tags": Case(MLP, (*NUMBERS, TAGS), {"target": "tags"}),
    "cluster": Case({"name": "classical/kmeans", "clusters": 2}, NUMBERS),
    "density": Case({"name": "classical/gaussian_mixture", "parts": 1}, NUMBERS),
    "density, flow": Case({"name": "mlp/flow"}, NUMBERS),
    "reduce": Case({"name": "classical/pca", "parts": 1}, NUMBERS),
    "segment": Case(
        {"name": "cnn/unet"},
        (image(1, 32, 32).model_copy(update={"affine": PIXELS}), MASK),
        {"target": "mask", "tile": 16, "margin": 4},
    ),
    "super_resolve": Case({"name": "cnn/espcn"}, (SMALL, LARGE), {"target": "large"}),
    "variational": Case({"name": "generative/vae"}, (SMALL,)),
    "adversarial": Case({"name": "generative/gan"}, (image(1, 28, 28).model_copy(update={"affine": PIXELS}),)),
}
OF_ENVIRONMENTS = {"reinforce/dqn"}
"""Those whose case is in `tests/training/assembly/test_data_source.py`."""


def saved(folder, name):
    """A task with the weights that it begins with, or a fitted estimator, and its model's folder."""
    case = CASES[name]
    task, fit = {"name": name.partition(",")[0], **case.task}, {"channels_last": "cnn" in case.network["name"]}
    located = fitted.located(folder, task=task, network=case.network, fit=fit)
    parts = parts_of(located)
    task = parts.build(signature(*case.columns)).eval()
    if hasattr(task.network, "estimator"):
        draw = np.random.default_rng(0)
        labels = draw.integers(0, 3, 60) if task.learns_target else None
        task.network.estimator.fit((draw.normal(size=(60, 2)),), labels, np.ones(60))
    model_folder.save(folder / "model", located, task, None)
    return task, folder / "model"


def as_arrays(value):
    is_ragged = isinstance(value, Ragged)
    return Padded(value.values.numpy(), value.lengths_B.numpy()) if is_ragged else value.numpy()


@pytest.mark.parametrize("name", CASES)
def test_a_model_predicts_as_its_task_and_without_it(tmp_path, name):
    task, folder = saved(tmp_path, name)
    inputs = _rows(task.signature).arguments
    model = model_file.load(folder)
    assert not hasattr(model, "task")
    with torch.no_grad():
        expected = task.predict(*inputs)
    found = model.runtime.predict(tuple(map(as_arrays, inputs)))
    assert found.keys() == expected.keys() == model.runtime.outputs.keys()
    for column, values in expected.items():
        assert np.array_equal(np.stack(found[column]), np.stack(values)), column
    for column, values in (task.generate(2, 5) if task.generated else {}).items():
        assert np.array_equal(np.stack(model.runtime.generate(2, 5)[column]), np.stack(values))


def test_every_task_has_a_case():
    names = {name.partition(",")[0] for name in CASES} | OF_ENVIRONMENTS
    assert names == set(plugins.names("millstream.training.tasks")) == set(plugins.names(model_file.PREDICTIONS))


def test_loading_a_model_leaves_the_random_numbers_of_its_caller_alone(tmp_path):
    _, folder = saved(tmp_path, "classify")
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    model_file.load(folder)
    assert torch.equal(torch.rand(3), expected)


def edited(folder, change):
    file = folder / model_file.ABOUT
    about = json.loads(file.read_text())
    change(about)
    file.write_text(json.dumps(about))


def test_a_model_of_before_is_loaded_with_its_task(tmp_path):
    task, folder = saved(tmp_path, "classify")
    edited(folder, lambda about: about.pop("served"))
    loaded = model_folder.load(folder)
    x = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        assert np.array_equal(loaded.task.predict(x)["probability"], task.predict(x)["probability"])
    assert isinstance(pyfunc._load_pyfunc(str(folder)), model_folder.Model)


@pytest.mark.bad_input
def test_a_model_that_cannot_be_read_is_refused_with_the_reason(tmp_path):
    _, folder = saved(tmp_path, "classify, trees")
    state = folder / "estimator.bin"
    state.write_bytes(state.read_bytes()[:-1] + b"?")
    with pytest.raises(BadData, match=r"estimator\.bin: its bytes are not those that were written"):
        model_file.load(folder)
    state.unlink()
    with pytest.raises(BadData, match=r"estimator\.bin: no model of Millstream there"):
        model_file.load(folder)
    edited(folder, lambda about: about["served"]["network"].update(name="classical/oracle"))
    with pytest.raises(BadData, match="this version of Millstream cannot build it"):
        model_file.load(folder)
    edited(folder, lambda about: about["served"].update(later="a field"))
    with pytest.raises(BadData, match="a newer Millstream may have written it"):
        model_file.load(folder)
    with pytest.raises(BadData, match="no model of Millstream there"):
        model_file.load(tmp_path / "nowhere")

import numpy as np
import pytest

from millstream.training.explain import loss_surface as surfaces
from millstream.training.explain.loss_surface import surface
from tests.datasets import make_dataset
from tests.training.fitted import ROWS, fitted
from tests.training.signatures import number

LINE = {"name": "mlp/mlp", "hidden": []}
TASK = {"name": "regress", "target": "y"}
STEPS = {"epochs": 2, "optimizer": {"name": "sgd", "lr": 0.1}}


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    draw = np.random.default_rng(0)
    splits = {}
    for split, count in ROWS.items():
        x = draw.uniform(0, 1, size=count).astype(np.float32)
        splits[split] = {"x": x, "y": (3 * x - 1 + draw.normal(size=count) / 10).astype(np.float32)}
    return make_dataset(tmp_path_factory.mktemp("line"), splits, [number("x"), number("y", role="target")])


def test_the_way_of_two_weights_is_kept_and_drawn_over_the_loss_of_the_train_rows(tmp_path, line, monkeypatch):
    found = fitted(tmp_path, line, task=TASK, network=LINE, fit=STEPS)
    path = np.array(found.history.path)
    assert len(path) == found.trainer.global_step + 1
    assert path[-1] == pytest.approx([float(one) for one in found.network.parameters()])
    drawn = {}
    monkeypatch.setattr(surfaces, "descent", lambda loss, x, y, path, names: drawn.update(loss=loss, x=x, y=y))
    rows = found.job.rows.loader("train").whole()
    surface(found.job.task, rows, found.history.path)
    x, y = rows.arguments[0][:, 0].double().numpy(), rows.truth.double().numpy()
    for row, column in ((0, 0), (10, 50), (60, 60)):
        slope, offset = drawn["x"][column], drawn["y"][row]
        assert drawn["loss"][row, column] == pytest.approx(np.square(slope * x + offset - y).mean(), rel=1e-4)
    for axis, name in enumerate("xy"):
        assert drawn[name][0] < path[:, axis].min()
        assert drawn[name][-1] > path[:, axis].max()
    assert path[-1] == pytest.approx([float(one) for one in found.network.parameters()])


def test_the_way_continues_behind_a_restart(tmp_path, line):
    whole = fitted(tmp_path / "whole", line, task=TASK, network=LINE, fit=STEPS)
    first = fitted(tmp_path / "first", line, task=TASK, network=LINE, fit=STEPS | {"epochs": 1})
    (checkpoint,) = list(first.job.folder.glob("step-*.ckpt"))
    resumed = fitted(tmp_path / "rest", line, task=TASK, network=LINE, fit=STEPS, start=checkpoint)
    assert resumed.history.path == whole.history.path


def test_of_more_weights_nothing_is_kept(tmp_path, line):
    found = fitted(tmp_path, line, task=TASK, network={"name": "mlp/mlp", "hidden": [2]}, fit=STEPS)
    assert found.history.path == []

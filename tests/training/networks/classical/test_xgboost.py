"""Trees that are grown from pages on disk, against those of the rows in memory."""

import numpy as np
import pytest
import torch

from millstream.training.estimator import flat
from millstream.training.loop import train
from millstream.training.networks.classical import xgboost
from tests.training import fitted


def grown(folder, dataset, **network):
    job = fitted.job_of(folder, dataset, network={"name": "classical/xgboost", "rounds": 20, "depth": 3, **network})
    train._fit_whole(job)
    return job


@pytest.mark.parametrize("page_rows", [1, 16, 64, 1000])
def test_pages_on_disk_give_the_trees_of_rows_in_memory(tmp_path, monkeypatch, page_rows):
    monkeypatch.setattr(xgboost, "PAGE_ROWS", page_rows)
    dataset = fitted.rows(tmp_path)  # fewer rows than bins, so that both split between the same values
    held, kept = grown(tmp_path / "held", dataset), grown(tmp_path / "kept", dataset, external=True)
    test = held.rows.loader("test").whole()
    torch.testing.assert_close(
        kept.task.network(*test.arguments), held.task.network(*test.arguments), rtol=1e-3, atol=1e-3
    )
    assert (held.task.network(*test.arguments).argmax(dim=1) == test.truth).float().mean() > 0.6
    assert list(kept.folder.glob("pages-*")) == []


def test_every_pass_over_the_pages_hands_over_the_same_rows_and_all_of_them(tmp_path):
    splits = grown(tmp_path / "kept", fitted.rows(tmp_path), external=True).rows
    pages = xgboost._Pages(splits.in_order("train"), ["q", "q", "q"], str(tmp_path / "page"))
    first, second = passed(pages), passed(pages)
    assert np.array_equal(first, second)
    whole = splits.loader("train").whole()
    stored = np.column_stack([flat(whole.arguments), whole.truth])
    assert np.array_equal(first[np.lexsort(first.T)], stored[np.lexsort(stored.T)])


def passed(pages):
    """The rows of one pass, each with its label behind."""
    seen = []
    pages.reset()
    while pages.next(lambda **page: seen.append(np.column_stack([page["data"], page["label"]]))):
        pass
    return np.concatenate(seen)


def test_fields_of_steps_that_are_not_taken_are_reported(tmp_path, capsys):
    dataset, network = fitted.rows(tmp_path), {"name": "classical/xgboost", "rounds": 2}
    train._fit_whole(fitted.job_of(tmp_path / "plain", dataset, network=network))
    assert capsys.readouterr().err == ""
    requested = {"l1": 0.1, "average": {"name": "ema"}, "init": "he"}
    train._fit_whole(fitted.job_of(tmp_path / "requested", dataset, network=network, fit=requested))
    assert capsys.readouterr().err.startswith("fit: average, init, l1: say how steps are taken")

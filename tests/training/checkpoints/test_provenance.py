import pytest

from millstream.tracking.errors import WrongRecipe
from millstream.training.checkpoints.provenance import Provenance
from tests.training.fitted import located


def of(folder, **fit):
    return Provenance.of(located(folder, fit=fit), {})


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "field",
    [
        {"init": "he"},
        {"optimizer": {"name": "lbfgs"}},
        {"schedule": {"name": "plateau"}},
        {"warm_up": 0.1},
        {"l1": 0.1},
        {"l2": 0.1},
        {"clip": 1.0},
        {"average": {"name": "ema"}},
        {"precision": "bfloat16"},
        {"compile": True},
        {"early_stop": {"patience": 2}},
        {"keep": "best"},
        {"seed": 8},
    ],
    ids=str,
)
def test_a_field_that_changes_steps_is_reported(tmp_path, field):
    (name,) = field
    with pytest.raises(WrongRecipe, match=rf"fit\.{name}: .* in the run to be resumed"):
        of(tmp_path, **field).check(of(tmp_path).facts)


@pytest.mark.parametrize(
    "fields",
    [{"nan": "skip", "accumulate": 2}, {"keep_last": 5, "checkpoint_every": 2, "memory": "streamed"}, {"epochs": 9}],
    ids=str,
)
def test_a_field_that_changes_none_may_differ(tmp_path, fields):
    of(tmp_path, **fields).check(of(tmp_path).facts)


@pytest.mark.parametrize(
    "shares", [{"schedule": {"name": "cosine"}}, {"warm_up": 0.1}, {"average": {"name": "swa"}}], ids=str
)
def test_more_epochs_stretch_what_counts_in_shares_of_them(tmp_path, shares):
    with pytest.raises(WrongRecipe, match=r"fit\.epochs: 9, and 4"):
        of(tmp_path, **shares, epochs=9).check(of(tmp_path, **shares).facts)

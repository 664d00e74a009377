"""The contract of every module of `training/environments`, found by its path."""

import inspect

import pytest

from millstream.tracking.recipe import plugins
from millstream.training.environments._protocol import Environment

PACKAGE = "millstream.training.environments"
DECLARED = {name: one for name, one in vars(Environment).items() if inspect.isfunction(one) and name[0] != "_"}


def parameters(function, skipped=0):
    return list(inspect.signature(function).parameters)[skipped:]


@pytest.mark.parametrize("name", plugins.names(PACKAGE))
def test_a_module_has_all_that_the_protocol_declares(name):
    module = plugins.find(PACKAGE, name)
    assert {"make", "make_vector", "signature", "threshold", "draw", "state", "restore"} <= DECLARED.keys()
    for function, declared in DECLARED.items():
        assert parameters(getattr(module, function)) == parameters(declared, skipped=1), function
    assert module.Config.model_config["frozen"]
    assert module.Config.model_config["extra"] == "forbid"
    assert all(field.description for field in module.Config.model_fields.values())

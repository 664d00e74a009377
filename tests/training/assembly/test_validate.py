import re

import pytest
from pydantic import ValidationError

from millstream.tracking.recipe.loader import load
from millstream.training.assembly import validate
from millstream.training.config.fit import Fit
from millstream.training.config.optimizers import AdamW
from tests.tracking.recipes import WHOLE, write


@pytest.mark.parametrize("recipe", ["cnn/lenet-digits", "rl/dqn-cartpole", "generative/gan-mnist"])
def test_every_field_has_a_description(recipe):
    sets = ["fit.average.name=ema", "fit.early_stop.patience=3", "fit.schedule={name: plateau}"]
    found = validate.fields(load(recipe, sets=sets))
    assert [one["field"] for one in found if not one["about"] and one["field"].startswith("fit")] == []
    values = {one["field"]: one["value"] for one in found}
    assert values["fit.average"] == "ema"
    assert values["fit.average.decay"] == 0.999
    assert values["fit.batch_size"] == load(recipe).section("fit")["batch_size"]
    choices = {one["field"]: one["choices"] for one in found}
    assert choices["fit.optimizer"] == ["sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamw", "lbfgs"]
    assert choices["fit.keep"] == ["last", "best"]


@pytest.mark.bad_input
@pytest.mark.parametrize("recipe", ["rl/dqn-cartpole", "generative/gan-mnist"])
def test_a_task_that_steps_in_its_own_way_refuses_what_it_would_not_do(recipe):
    sets = ["fit.accumulate=2", "fit.compile=true", "fit.optimizer={name: lbfgs}", "fit.clip=null"]
    found = validate.faults(load(recipe, sets=sets))
    assert [fault.message.partition(":")[0] for fault in found] == [
        "fit.accumulate",
        "fit.compile",
        "fit.optimizer.name",
    ]
    assert all("steps in a way of its own" in fault.message for fault in found)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("recipe", "task", "message"),
    [
        ("rl/dqn-cartpole", "{name: classify, target: action}", "classify learns from data:.* has environment:"),
        ("cnn/lenet-digits", "{name: reinforce/dqn}", "reinforce/dqn learns from environment:.* has data:"),
    ],
)
def test_a_task_refuses_what_it_cannot_learn_from(recipe, task, message):
    (fault,) = [fault for fault in validate.faults(load(recipe, sets=[f"task={task}"])) if "learns" in fault.message]
    assert re.search(message, fault.message)


@pytest.mark.bad_input
def test_a_mean_of_no_epoch_is_refused():
    with pytest.raises(ValidationError, match=r"0\.76 of 4 epochs leaves none"):
        Fit(epochs=4, average={"name": "swa", "start": 0.76})
    assert Fit(epochs=4, average={"name": "swa", "start": 0.75}).average.start == 0.75


def test_fields_of_an_optimizer_without_a_name_are_those_of_the_usual_one():
    assert Fit.model_validate({"optimizer": {"lr": 0.5}}).optimizer == AdamW(name="adamw", lr=0.5)
    assert Fit.model_validate({}).optimizer == AdamW(name="adamw")
    with pytest.raises(ValidationError, match="momentum"):
        Fit.model_validate({"optimizer": {"momentum": 0.9}})


@pytest.mark.bad_input
def test_before_a_preparation_fit_splits_and_names_are_checked(tmp_path):
    changes = [("name: classify", "name: clasify"), ("cnn/lenet,", "cnn/lenett,"), ("epochs: 2", "epochs: many")]
    found = validate.faults_before_preparation(load(str(write(tmp_path, WHOLE, *changes))))
    assert [fault.message.partition(":")[0] for fault in found] == ["fit.epochs", "task.name", "network.name"]
    assert "did you mean 'cnn/lenet'" in found[2].message
    unsplit = ("valid: 0.1, test: 0.2", "valid: 0.1")
    (fault,) = validate.faults_before_preparation(load(str(write(tmp_path, WHOLE, unsplit))))
    assert "has no rows for test" in fault.message

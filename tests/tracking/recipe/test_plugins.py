import pytest

from millstream.tracking.recipe import plugins


def test_a_part_is_found_by_its_path_and_its_class_by_its_file():
    module = plugins.find("millstream.training.tasks", "reinforce/dqn")
    assert module.__name__ == "millstream.training.tasks.reinforce.dqn"
    assert plugins.class_of(module).__name__ == "Dqn"


@pytest.mark.bad_input
@pytest.mark.parametrize(("wrong", "near"), [("cnn/lenett", "cnn/lenet"), ("mlp", "mlp/mlp"), ("rnn/gro", "rnn/gru")])
def test_the_nearest_name_is_offered(wrong, near):
    with pytest.raises(plugins.UnknownPart, match=f"no such network; .*{near}"):
        plugins.find("millstream.training.networks", wrong)


@pytest.mark.bad_input
def test_of_few_names_all_are_named_and_of_many_the_nearest():
    assert plugins.suggest("cats", ["dogs", "rats"]) == "did you mean 'rats'? known: dogs, rats"
    assert plugins.suggest("x", ()) == "none is known"
    many = [f"family/{at}" for at in range(70)] + ["cnn/lenet"]
    for wrong in ("lenet", "cnn/lent"):
        advice = plugins.suggest(wrong, many)
        assert advice.startswith("did you mean 'cnn/lenet'? known: ")
        assert "cnn/lenet" in advice.partition("known: ")[2]
        assert "more" in advice
        assert len(advice) < 200


@pytest.mark.security
@pytest.mark.parametrize(
    "name", ["../task", "cnn/../../fit", "/etc/passwd", "cnn.lenet", "", None, ["cnn/lenet"], "__init__"]
)
def test_a_name_never_leads_out_of_its_package(name):
    with pytest.raises(plugins.UnknownPart):
        plugins.find("millstream.training.networks", name)


def test_all_families_are_listed():
    assert {name.partition("/")[0] for name in plugins.names("millstream.training.networks")} >= {
        "classical",
        "cnn",
        "generative",
        "mlp",
        "rnn",
    }

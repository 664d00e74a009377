import pytest

from tracking import parts


def test_a_part_is_found_by_its_path_and_its_class_by_its_file():
    module = parts.find("training.tasks", "reinforce/dqn")
    assert module.__name__ == "training.tasks.reinforce.dqn"
    assert parts.class_of(module).__name__ == "Dqn"


@pytest.mark.bad_input
@pytest.mark.parametrize(("wrong", "near"), [("cnn/lenett", "cnn/lenet"), ("mlp", "mlp/mlp"), ("rnn/gro", "rnn/gru")])
def test_the_nearest_name_is_offered(wrong, near):
    with pytest.raises(parts.UnknownPart, match=f"no such network; .*{near}"):
        parts.find("training.networks", wrong)


@pytest.mark.bad_input
def test_of_few_names_all_are_told_and_of_many_the_nearest():
    assert parts.suggest("cats", ["dogs", "rats"]) == "did you mean 'rats'? known: dogs, rats"
    assert parts.suggest("x", ()) == "none is known"
    many = [f"family/{at}" for at in range(70)] + ["cnn/lenet"]
    for wrong in ("lenet", "cnn/lent"):
        told = parts.suggest(wrong, many)
        assert told.startswith("did you mean 'cnn/lenet'? known: ")
        assert "cnn/lenet" in told.partition("known: ")[2]
        assert "more" in told
        assert len(told) < 200


@pytest.mark.security
@pytest.mark.parametrize(
    "name", ["../task", "cnn/../../fit", "/etc/passwd", "cnn.lenet", "", None, ["cnn/lenet"], "__init__"]
)
def test_a_name_never_leads_out_of_its_package(name):
    with pytest.raises(parts.UnknownPart):
        parts.find("training.networks", name)


def test_all_families_are_listed():
    assert {name.partition("/")[0] for name in parts.names("training.networks")} >= {
        "classical",
        "cnn",
        "generative",
        "mlp",
        "rnn",
    }

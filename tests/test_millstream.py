"""The command: what it answers, and how it ends."""

import json
import os
import subprocess
import sys

import pytest

from millstream.__main__ import cli
from tests.tracking.recipes import WHOLE, write
from tests.training.fitted import rows


@pytest.fixture
def called(capfd):
    """Calls the command in this process: its exit code, what it wrote to stdout and to stderr."""

    def call(*words):
        with pytest.raises(SystemExit) as ended:
            cli(words, prog_name="millstream")
        out, err = capfd.readouterr()
        return ended.value.code, out, err

    return call


HEAVY = ("torch", "pyspark", "mlflow", "pandas", "numpy", "pytorch_lightning")


def test_help_waits_for_no_heavy_package():
    script = f"""
import sys
from millstream.__main__ import cli
try:
    cli(["--help"])
except SystemExit:
    pass
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"
    assert "Exit codes: 0 done" in found.stdout


@pytest.mark.parametrize("verb", sorted(cli.commands))
def test_every_verb_explains_itself(called, verb):
    code, out, _ = called(verb, "--help")
    assert code == 0
    assert "Example:" in out or verb == "ui"


def test_three_mistakes_are_three_faults_at_once(called, tmp_path):
    file = write(
        tmp_path,
        WHOLE,
        ("cnn/lenet,", "cnn/lenett,"),
        ("epochs: 2", "epochs: many"),
        ("by: stratified", "by: stratefied"),
    )
    code, out, _ = called("check", str(file), "--json")
    answer = json.loads(out.splitlines()[-1])
    assert code == 2
    assert not answer["ok"]
    messages = [fault["message"] for fault in answer["faults"]]
    assert len(messages) == 3, messages
    assert any("did you mean 'cnn/lenet'" in one for one in messages)
    assert all(str(file) in fault["where"] for fault in answer["faults"])
    code, _, err = called("run", str(file))
    assert code == 2
    assert len(err.strip().splitlines()) == 3


def test_a_right_recipe_has_no_faults(called, tmp_path):
    code, out, _ = called("check", str(write(tmp_path)), "--json")
    assert (code, json.loads(out)) == (0, {"ok": True, "faults": [], "doubts": []})


def test_a_budget_that_the_recipe_has_not_is_reported(called, tmp_path):
    file = write(tmp_path, WHOLE, ("  full: {fit.epochs: 9}\n", ""))
    code, _, err = called("check", str(file), "--budget", "full")
    assert code == 0
    assert "mine has no budget full (only smoke): it runs as with cpu" in err
    assert "no budget" not in called("check", str(file), "--budget", "smoke")[2]
    assert "no budget" not in called("check", str(file))[2]


def test_the_fields_of_a_recipe_are_reported_with_their_values_and_meanings(called, tmp_path):
    code, out, _ = called("check", str(write(tmp_path)), "--fields", "--set", "fit.warm_up=0.25", "--json")
    fields = {one["field"]: one for one in json.loads(out)["fields"]}
    assert code == 0
    assert fields["fit.warm_up"]["value"] == 0.25
    assert "warm-up" in fields["fit.warm_up"]["about"]
    assert fields["network.norm"]["choices"] == ["none", "batch", "layer", "group"]
    assert "warm_up" in called("check", str(write(tmp_path)), "--fields")[1]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("    - split: {by: stratified, valid: 0.1, test: 0.2}\n", ""), "it would learn from test rows"),
        (("channels: [4, 8]", "chanels: [4, 8]"), "did you mean 'channels'"),
        (("optimizer: {name: adam, ", "optimizer: {name: adem, "), "adem"),
    ],
)
def test_a_recipe_that_leaks_or_misspells_is_refused(called, tmp_path, change, message):
    code, out, _ = called("check", str(write(tmp_path, WHOLE, change)), "--json")
    assert code == 2
    assert message in out


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fit.l1", ".inf"),
        ("fit.optimizer.lr", "inf"),
        ("fit.optimizer.lr", ".nan"),
        ("fit.window_mib", ".inf"),
        ("fit.window_mib", "1.0e+308"),
        ("fit.cache_mib", ".inf"),
        ("fit.optimizer.betas", "[1.5, 0.9]"),
        ("fit.optimizer.betas", "[0.9, 1.0]"),
        ("fit.optimizer.betas", "[0.9, .nan]"),
        ("task.smoothing", ".nan"),
        ("data.source.limit", ".inf"),
        ("data.steps.scale.high", ".inf"),
    ],
)
def test_a_number_that_nothing_can_be_done_with_is_refused_at_its_field(called, tmp_path, field, value):
    code, out, _ = called("check", str(write(tmp_path)), "--set", f"{field}={value}", "--json")
    faults = json.loads(out)["faults"]
    assert code == 2
    assert len(faults) == 1, faults
    assert faults[0]["message"].startswith(field.replace("scale", "1.scale"))


def test_recipes_are_listed_with_what_they_need(called):
    code, out, _ = called("recipes", "--json")
    listed = {one["name"]: one for one in json.loads(out)}
    assert code == 0
    assert listed["cnn/lenet-mnist"]["pass"] == {"test/accuracy": ">= 0.989"}
    assert {"name", "family", "task", "source", "pass"} <= listed["rl/dqn-cartpole"].keys()
    families = {one["family"] for one in json.loads(called("recipes", "--family", "rnn", "--json")[1])}
    assert families == {"rnn"}


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--over", "fit.optimizer.lr"], "expected FIELD=RANGE"),
        (["--over", "fit.optimiser.lr={low: 1, high: 2}"], "did you mean 'optimizer'"),
        (["--over", "network.norm=[batch, btach]"], "--set network.norm"),
        (["--over", "fit.epochs={low: 3, high: 2}"], "expected low < high"),
        (["--strategy", "tabu"], "'tabu' is not one of"),
    ],
)
def test_a_search_is_refused_before_its_first_trial(called, tmp_path, words, message):
    code, _, err = called("search", str(write(tmp_path)), *words)
    assert code == 2
    assert message in err


@pytest.mark.bad_input
def test_an_unknown_verb_or_option_ends_with_two(called):
    assert called("trian", "x")[0] == 2
    assert called("recipes", "--familly", "x")[0] == 2


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("words", "verb", "message"),
    [
        (["check", "cnn/lenet-digits", "--budget", "hog"], "check", "'hog' is not one of"),
        (["search", "cnn/lenet-digits", "--trials", "0"], "search", "0 is not in the range"),
        (["train", "cnn/lenet-digits", "--resume", "x", "--fresh"], "train", "leave one of them out"),
        (["train", "cnn/lenet-digits", "--master", "spark://x:1"], "train", "--devices N"),
        (["recipes", "--familly", "x"], "recipes", "No such option"),
        (["trian", "x"], "", "trian"),
    ],
)
def test_a_wrong_word_is_reported_in_the_form_of_every_refusal(called, words, verb, message):
    code, out, err = called(*words, "--json")
    (fault,) = (answer := json.loads(out))["faults"]
    assert (code, answer["exit"], answer["ok"], answer["error"]) == (2, 2, False, "WrongRecipe")
    assert fault["where"] == f"millstream {verb}".strip()
    assert message in fault["message"]
    assert message in err
    assert called(*words)[1] == ""


@pytest.mark.bad_input
def test_an_unknown_family_is_reported_with_those_that_there_are(called):
    code, out, err = called("recipes", "--family", "nosuch", "--json")
    assert code == 2
    assert json.loads(out)["faults"][0]["where"] == "--family nosuch"
    assert "known: " in err
    assert "classical, cnn, " in err


@pytest.mark.bad_input
@pytest.mark.parametrize("words", [("evaluate", "nosuch"), ("score", "nosuch", "in.csv", "out")])
def test_a_name_that_is_no_model_is_refused_with_how_models_are_named(here, tmp_path, words):
    (fault,) = here(tmp_path, *words, code=3)["faults"]
    assert fault["where"] == "nosuch"
    assert "neither a folder nor the address of a model: give models:/NAME/VERSION" in fault["message"]
    assert "artifacts" not in fault["message"]


@pytest.mark.bad_input
@pytest.mark.parametrize("home", ["/proc/ms", "a file", "a file/below"])
@pytest.mark.parametrize(
    "words",
    [
        ("prepare", "cnn/lenet-digits"),
        ("train", "cnn/lenet-digits"),
        ("run", "cnn/lenet-digits"),
        ("evaluate", "models:/a/1"),
        ("compare", "cnn/lenet-digits"),
        ("score", "models:/a/1", "in.csv", "out"),
        ("search", "mlp/adult"),
        ("doctor",),
        ("prune",),
        ("verify", "mnist"),
        ("inspect", "mnist"),
        ("feed", "mnist"),
        ("feed", "cnn/lenet-digits"),
    ],
    ids=lambda words: words[0],
)
def test_a_home_that_cannot_be_made_is_refused_with_what_to_set(here, tmp_path, words, home):
    (tmp_path / "a file").write_text("")
    (fault,) = here(tmp_path / home, *words, code=4)["faults"]
    assert fault["where"] == str(tmp_path / home)
    assert "set MILLSTREAM_HOME" in fault["message"]


@pytest.mark.parametrize("verb", ["inspect", "feed"])
def test_a_dataset_that_is_found_by_its_path_is_read_without_a_home(here, tmp_path, verb):
    dataset = rows(tmp_path / "elsewhere")
    (tmp_path / "a file").write_text("")
    here(tmp_path / "a file" / "below", verb, str(dataset.folder))


@pytest.mark.bad_input
def test_pages_over_a_home_that_cannot_be_made_are_refused_without_a_trace(called, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MILLSTREAM_HOME", str(tmp_path / "file"))
    code, _, err = called("ui")
    assert code == 4
    assert err.startswith(f"{tmp_path / 'file'}: cannot be made a folder")


def test_a_terminal_without_letters_gets_them_written_out(tmp_path):
    plain = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    file = write(tmp_path, WHOLE, ("target: label", "target: größe"))
    command = [sys.executable, "-m", "millstream", "check", str(file)]
    found = subprocess.run(command, capture_output=True, text=True, env=os.environ | plain)
    assert found.returncode == 2  # there is no such column
    assert "gr\\xf6\\xdfe" in found.stdout


def test_an_environment_has_nothing_to_prepare(here, tmp_path):
    answer = here(tmp_path, "prepare", "rl/dqn-cartpole")
    assert answer["rows"] == {"train": 0, "valid": 0, "test": 0}
    assert "nothing to prepare" in answer["stderr"]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Pendulum-v1", "dqn learns discrete actions, and those of the environment are continuous"),
        ("Blackjack-v1", "Tuple"),
    ],
)
def test_an_environment_whose_spaces_do_not_fit_is_a_wrong_recipe(here, tmp_path, name, message):
    answer = here(tmp_path, "train", "rl/dqn-cartpole", "--set", f"environment.id={name}", code=2)
    assert message in answer["stderr"]


def test_the_doctor_looks_at_everything(here, tmp_path):
    answer = here(tmp_path, "doctor")
    assert {check["name"] for check in answer["checks"]} >= {"java", "tracking", "disk", "metrics"}
    assert answer["ok"]

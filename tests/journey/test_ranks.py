"""Several processes train one model: with --devices, with torchrun, killed, hung, stopped, started apart."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

from millstream.pipelines import prepare
from millstream.tracking.recipe.loader import load
from millstream.tracking.settings import Settings
from tests.journey.command import ROOT, answer, completed, environment, started
from tests.journey.test_resume import run_of

DATA = """
data:
  source: {name: digits, limit: 700}
  steps:
    - split: {by: stratified, valid: 0.02, test: 0.2}
    - scale: {column: image, method: unit, high: 16}
"""
LENET = (
    DATA
    + """
about: batches of 24, so that the last one has few rows, and valid has fewer than lanes
task: {name: classify, target: label}
network: {name: cnn/lenet, channels: [4, 8], dropout: 0.1}
fit:
  {epochs: 4, batch_size: 24, seed: 7, threads: 1, checkpoint_every: 5, timeout_s: 20,
   optimizer: {name: adamw, lr: 3.0e-3}, schedule: {name: onecycle}}
"""
)
GAN = (
    DATA
    + """
about: two networks that are stepped in turn
task: {name: adversarial}
network: {name: generative/gan, latent: 8, channels: 4}
fit: {epochs: 2, batch_size: 32, seed: 7, threads: 1, timeout_s: 20, optimizer: {name: adam, lr: 1.0e-3}}
"""
)
VAE = (
    DATA
    + """
about: draws inside the step, lists of codes at the end
task: {name: variational, samples: 20, images: 5}
network: {name: generative/vae, latent: 4, hidden: [32]}
fit: {epochs: 2, batch_size: 32, seed: 7, threads: 1, timeout_s: 20, optimizer: {name: adam, lr: 1.0e-3}}
"""
)

GRU = """
about: words of two languages
data:
  source: {name: text, files: [{name: north.txt}, {name: south.txt}]}
  steps:
    - split: {by: hash, valid: 0.1, test: 0.1}
    - encode: {columns: [label]}
    - encode: {columns: [text], method: characters, longest: 12}
task: {name: classify, target: label}
network: {name: rnn/gru, embedding: 8, hidden: 16, dropout: 0.2}
fit:
  {epochs: 9, batch_size: 24, seed: 7, threads: 1, checkpoint_every: 5, timeout_s: 60, clip: 1.0,
   optimizer: {name: adamw, lr: 2.0e-3}}
"""


def write_words(folder):
    """Two files of 300 words, in which other letters are frequent."""
    generator = random.Random(0)
    for name, letters in {"north": "knorrdstjei", "south": "aeiolaremu"}.items():
        words = ["".join(generator.choices(letters, k=generator.randint(2, 12))) for _ in range(300)]
        (folder / f"{name}.txt").write_text("\n".join(words) + "\n")


@pytest.fixture(scope="module")
def home(tmp_path_factory, spark):
    home = tmp_path_factory.mktemp("many ranks")
    write_words(home)
    gru = re.sub(r"(north|south)\.txt", rf"{home}/\1.txt", GRU)
    for name, text in {"lenet": LENET, "gan": GAN, "vae": VAE, "gru": gru}.items():
        (home / f"{name}.yaml").write_text(text)
    settings = Settings.read({"MILLSTREAM_HOME": str(home)})
    prepare.prepare(load(str(home / "lenet.yaml")), settings, say=lambda message: None)
    return home


def losses(home, run):
    """The course of train/loss by step, as it was sent to the store."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home}/tracking.db")
    return {point.step: point.value for point in client.get_metric_history(run, "train/loss")}


@pytest.mark.slow
@pytest.mark.spark
def test_two_ranks_learn_what_one_does_within_float_noise(home):
    recipe = str(home / "lenet.yaml")
    plain = ("--set", "network.dropout=0.0")  # draws of dropout are a rank's own, unless training is exact
    alone = completed(home, "train", recipe, *plain, "--fresh")
    both = completed(home, "train", recipe, *plain, "--fresh", "--devices", "2")
    assert both["metrics"].keys() == alone["metrics"].keys()
    for name, value in alone["metrics"].items():
        assert both["metrics"][name] == pytest.approx(value, abs=2e-4), name
    one, two = losses(home, alone["run_id"]), losses(home, both["run_id"])
    assert one.keys() == two.keys()
    assert all(two[step] == pytest.approx(one[step], abs=1e-4) for step in one)
    # one run, whose model has what the ranks have measured
    again = completed(home, "evaluate", both["model_uri"])
    assert again["metrics"]["test/accuracy"] == both["metrics"]["test/accuracy"]


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.parametrize("name", ["gan", "vae"])
def test_tasks_with_their_own_ways_train_in_ranks(home, name):
    found = completed(home, "train", str(home / f"{name}.yaml"), "--fresh", "--devices", "2")
    assert found["weights"]
    assert all(value == value for value in found["metrics"].values())


@pytest.mark.spark
@pytest.mark.parametrize("external", ["false", pytest.param("true", marks=pytest.mark.slow)])
def test_ranks_grow_the_same_trees_together(here, home, external):
    trees = (
        "--set",
        "network={name: classical/xgboost, rounds: 20, depth: 4}",
        "--set",
        "fit={seed: 7, batch_size: 24}",
    )
    words = (str(home / "lenet.yaml"), *trees, "--set", f"network.external={external}", "--fresh")
    if external == "true":
        both = completed(home, "train", *words, "--devices", "2")
    else:
        first, second = (by_hand(home, rank, *words[1:]) for rank in range(2))
        both = answer(first)
        assert second.communicate()[0] == ""
    alone = here(home, "train", *words)
    assert both["metrics"].keys() == alone["metrics"].keys()
    assert both["metrics"]["test/accuracy"] == pytest.approx(alone["metrics"]["test/accuracy"], abs=0.02)
    # learned from half of such rows the loss is 13 to 32 % higher (4 draws of them, XGBoost alone)
    assert both["metrics"]["test/loss"] == pytest.approx(alone["metrics"]["test/loss"], rel=0.1)
    again = here(home, "evaluate", both["model_uri"])["metrics"]
    # rows that are right are counted; losses are added up in float32, by two ranks in another order: an ulp or two
    assert again["test/accuracy"] == both["metrics"]["test/accuracy"]
    assert again["test/loss"] == pytest.approx(both["metrics"]["test/loss"], rel=5e-7)


@pytest.mark.fault
@pytest.mark.spark
def test_exact_training_that_lost_a_rank_is_resumed_as_one_with_the_bits_of_one(home):
    recipe, exact = str(home / "lenet.yaml"), ("--set", "fit.exact=true", "--set", "fit.epochs=12")
    running = started(home, "train", recipe, *exact, "--fresh", "--devices", "2")
    run = run_of(running, home)
    (lost,) = ranks_of(running, "1")
    lost.kill()
    refused = answer(running, 4)
    assert any("1" in fault["where"] + fault["message"] for fault in refused["faults"])
    resumed = completed(home, "train", recipe, *exact)
    assert resumed["run_id"] == run
    assert resumed["weights"] == completed(home, "train", recipe, *exact, "--fresh")["weights"]


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.spark
def test_exact_training_of_two_ranks_that_is_resumed_as_one_has_the_bits_of_one(home):
    recipe, exact = str(home / "lenet.yaml"), ("--set", "fit.exact=true")
    run = interrupted(home, "train", recipe, *exact, "--fresh", "--devices", "2")
    resumed = completed(home, "train", recipe, *exact, "--resume", run)
    assert resumed["run_id"] == run
    assert resumed["weights"] == completed(home, "train", recipe, *exact, "--fresh")["weights"]


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.parametrize("name", ["lenet", "gru"])
def test_exact_training_has_the_same_bits_at_two_and_four_ranks_and_over_a_change_of_their_number(home, name):
    recipe, exact = str(home / f"{name}.yaml"), ("--set", "fit.exact=true", "--set", "fit.epochs=11")
    if name == "gru":
        completed(home, "prepare", recipe)
    wanted = completed(home, "train", recipe, *exact, "--fresh")
    for ranks in ("2", "4"):
        assert completed(home, "train", recipe, *exact, "--fresh", "--devices", ranks)["weights"] == wanted["weights"]
    stopped = started(home, "train", recipe, *exact, "--fresh", "--devices", "4")
    run = run_of(stopped, home)
    stopped.send_signal(signal.SIGTERM)
    ended = answer(stopped, 143)
    assert "state saved" in ended["stderr"]
    resumed = completed(home, "train", recipe, *exact, "--resume", run, "--devices", "2")
    assert resumed["weights"] == wanted["weights"]
    assert max(losses(home, run)) >= 199


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.spark
def test_ranks_stopped_inside_an_epoch_are_resumed_as_one_with_the_same_batches(home):
    recipe, plain = str(home / "lenet.yaml"), ("--set", "network.dropout=0.0")
    whole = completed(home, "train", recipe, *plain, "--fresh")
    run = interrupted(home, "train", recipe, *plain, "--fresh", "--devices", "2")
    resumed = completed(home, "train", recipe, *plain, "--resume", run)
    assert resumed["run_id"] == run
    one, both = losses(home, whole["run_id"]), losses(home, run)
    assert one.keys() == both.keys()
    assert all(both[step] == pytest.approx(one[step], abs=1e-4) for step in one)


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.parametrize("what", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
def test_a_rank_that_dies_or_hangs_ends_all_and_is_named(home, what, soak):
    recipe, generator = str(home / "lenet.yaml"), random.Random(str(what))
    exact = ("--set", "fit.exact=true", "--set", "fit.epochs=200", "--set", "fit.timeout_s=20")
    for _ in range(5 if soak else 1):
        running = started(home, "train", recipe, *exact, "--fresh", "--devices", "2")
        run = run_of(running, home)
        time.sleep(generator.uniform(0, 0.5))
        (lost,) = ranks_of(running, "1")
        lost.send_signal(what)
        refused = answer(running, 4)
        assert "rank" in refused["stderr"]
        assert any("1" in fault["where"] + fault["message"] for fault in refused["faults"])
        assert not lost.is_running() or lost.status() == psutil.STATUS_ZOMBIE
        # nothing is lost: it is resumed by itself with the same command, with another number of ranks
        resumed = started(home, "train", recipe, *exact)
        while "resumes from step" not in (line := resumed.stderr.readline()):
            assert resumed.poll() is None
        assert run in line
        while not resumed.stderr.readline().startswith("epoch"):
            assert resumed.poll() is None
        resumed.send_signal(signal.SIGTERM)
        answer(resumed, 143)


def interrupted(home, *words):
    """The id of a run that was stopped inside an epoch."""
    stopped = started(home, *words)
    run = run_of(stopped, home)
    stopped.send_signal(signal.SIGINT)
    answer(stopped, 130)
    return run


def ranks_of(process, rank):
    """The processes of a rank below the one that started them."""
    return [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if child.environ().get("RANK") == rank and "millstream" in " ".join(child.cmdline())
    ]


@pytest.mark.fault
@pytest.mark.spark
def test_ranks_that_were_started_with_different_recipes_refuse_before_the_first_step(home):
    processes = [by_hand(home, rank, "--set", f"fit.epochs={epochs}") for rank, epochs in enumerate((3, 4))]
    ended = [answer(process, 2) for process in processes]
    for one in ended:
        assert [fault["where"] for fault in one["faults"]] == ["recipe"]
        assert "ranks 0" in one["faults"][0]["message"]
        assert "ranks 1" in one["faults"][0]["message"]
    assert ["ranks 1" in one["stderr"] for one in ended] == [True, False]
    run = next(line.split()[1] for line in ended[0]["stderr"].splitlines() if line.startswith("run "))
    assert not list((home / "checkpoints" / run).glob("*.ckpt"))


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.spark
def test_ranks_with_different_code_refuse_before_the_first_step(home, tmp_path):
    for package in ("training", "tracking", "pipelines", "verbs", "recipes"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "millstream", tmp_path / "millstream", symlinks=True)
    edited = tmp_path / "training" / "task.py"
    edited.write_text(edited.read_text() + "# edited\n")
    processes = [by_hand(home, 0), by_hand(home, 1, cwd=tmp_path, PYTHONPATH=str(tmp_path))]
    for process in processes:
        assert [fault["where"] for fault in answer(process, 2)["faults"]] == ["code"]


@pytest.mark.slow
@pytest.mark.spark
def test_ranks_that_torchrun_started_find_each_other(home):
    recipe = str(home / "lenet.yaml")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
    train = ["-m", "millstream", "train", recipe, "--set", "fit.exact=true", "--fresh", "--json"]
    found = subprocess.run(
        [*command, "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", *train],
        env=environment(home),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr[-6000:]
    wanted = completed(home, "train", recipe, "--set", "fit.exact=true", "--fresh")["weights"]
    answers = [json.loads(line) for line in found.stdout.splitlines() if line.startswith("{")]
    assert [one["weights"] for one in answers] == [wanted]


@pytest.mark.bad_input
@pytest.mark.spark
@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("--nodes", "2"), 2, "torchrun --nnodes 2"),
        (("--devices", "3"), 2, "lanes that would do"),
        pytest.param(
            ("--devices", "2", "--set", "network.norm=batch", "--set", "fit.exact=true"),
            2,
            "normalise over the batch",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("--devices", "2", "--set", "data.source.limit=600"), 3, "not prepared yet", marks=pytest.mark.slow
        ),
    ],
)
def test_what_cannot_be_split_is_refused_once_with_what_would_do(here, home, words, code, expected):
    refused = here(home, "train", str(home / "lenet.yaml"), "--fresh", *words, code=code)
    assert expected in json.dumps(refused["faults"])
    assert refused["stderr"].count(expected) == 1


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.spark
def test_what_only_the_second_rank_refuses_is_reported_by_it(home, tmp_path):
    first, second = by_hand(home, 0), by_hand(home, 1, MILLSTREAM_STORE=str(tmp_path))
    refused = answer(second, 3)
    assert refused["stderr"].count("not prepared yet") == 1
    assert "not prepared yet" not in answer(first, 4)["stderr"]


def by_hand(home, rank, *words, **more):
    """One rank of two, as SLURM would start it."""
    who = {"SLURM_PROCID": str(rank), "SLURM_NTASKS": "2", "SLURM_LOCALID": str(rank), "SLURM_NTASKS_PER_NODE": "2"}
    where = {"SLURM_NODELIST": "127.0.0.1", "SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_ID": "0"}
    return started(home, "train", str(home / "lenet.yaml"), "--fresh", *words, **who, **where, **more)


@pytest.mark.slow
@pytest.mark.spark
def test_ranks_that_slurm_started_find_each_other(home):
    first, second = (by_hand(home, rank, "--set", "fit.exact=true") for rank in range(2))
    found = answer(first)
    out, _ = second.communicate(timeout=60)
    assert second.returncode == 0
    assert out == ""
    assert (
        found["weights"]
        == completed(home, "train", str(home / "lenet.yaml"), "--set", "fit.exact=true", "--fresh")["weights"]
    )

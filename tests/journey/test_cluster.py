"""The same job on a real cluster of two workers: the same versions, also when a worker dies in the middle.

`make test` takes one worker: it and what it starts are two Javas, of which each costs 3 CPU seconds.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from millstream.pipelines import prepare
from millstream.pipelines.score import score
from millstream.pipelines.spark.session import find_java
from millstream.tracking.dataset.version import Dataset
from millstream.tracking.recipe.loader import load
from millstream.tracking.settings import Settings
from millstream.tracking.verification.verify import verify
from tests import shortcuts, spark_cluster
from tests.journey.command import ROOT, answer, completed, environment, started

pytestmark = pytest.mark.spark
DIGITS = ("cnn/lenet-digits", "--set", "data.source.limit=300")
GUSTS = """
about: A table that is split, encoded, balanced and augmented
data:
  name: gusts
  source:
    name: table
    files: [{name: gusts.csv}]
    columns: {wind: {type: double}, gust: {type: string, role: target}}
  steps:
    - split: {by: hash, test: 0.2}
    - encode: {columns: [gust]}
    - rebalance: {method: duplicate}
    - augment: {copies: 1, ops: [{noise: 0.1}]}
task: {name: classify, target: gust}
network: {name: classical/tree, depth: 3}
fit: {seed: 7}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with spark_cluster.cluster(tmp_path_factory.mktemp("cluster"), workers=1 if shortcuts.ARE_TAKEN else 2) as running:
        yield running


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    draw, folder = random.Random(0), tmp_path_factory.mktemp("table")
    rows = [f"{draw.gauss(8, 3)},{'yes' if at % 8 == 0 else 'no'}\n" for at in range(200)]
    (folder / "gusts.csv").write_text("wind,gust\n" + "".join(rows))
    (folder / "gusts.yaml").write_text(GUSTS.replace("gusts.csv", str(folder / "gusts.csv")))
    return str(folder / "gusts.yaml")


def described(home, name):
    """Version, and rows and digest of each split; everything about it was verified."""
    dataset = Dataset.open(name, home / "datasets")
    assert verify(dataset) == []
    splits = {split: (facts.rows, facts.digest) for split, facts in dataset.manifest.splits.items()}
    return dataset.manifest.version, splits


def prepared_here(settings, *words):
    """The same, prepared on this machine alone."""
    name, *sets = [word for word in words if word != "--set"]
    prepared = prepare.prepare(load(name, sets=sets), settings, say=lambda message: None)
    return described(settings.home, prepared.dataset)


def test_workers_have_no_millstream_of_their_own(cluster):
    # else the tests below would not show that our packages come along
    python = cluster.environment["PYSPARK_PYTHON"]
    found = subprocess.run([python, "-c", "import numpy, pandas, millstream"], capture_output=True, text=True, cwd="/")
    assert "No module named 'millstream'" in found.stderr


@pytest.mark.slow
@pytest.mark.fault
def test_a_cluster_makes_the_version_of_one_machine_though_a_worker_dies(
    spark, cluster, recipe, tmp_path, settings, soak
):
    draw = random.Random(0)
    for at in range(10 if soak else 1):
        home = tmp_path / f"home {at}"
        job = started(home, "prepare", recipe, "--master", cluster.master, **cluster.environment)
        done = draw.choice(["split:", "encode:", "rebalance:", "augment:"]) if soak else "split:"
        assert next(line for line in job.stderr if line.startswith(done))
        assert [cluster.executors(worker) for worker in cluster.workers] == [1, 1], cluster.logs()
        cluster.kill_worker()
        assert not answer(job)["reused"]
        assert described(home, "gusts") == prepared_here(settings, recipe)
        cluster.add_worker()


def test_digits_give_the_same_version_on_a_cluster(spark, cluster, tmp_path, settings):
    completed(tmp_path, "prepare", *DIGITS, "--master", cluster.master, **cluster.environment)
    assert described(tmp_path, "digits") == prepared_here(settings, *DIGITS)


@pytest.mark.slow
def test_ranks_on_the_hosts_of_a_cluster_end_with_the_weights_of_one_process(spark, cluster, tmp_path):
    exact = ("--set", "fit.exact=true", "--set", "fit.threads=1", "--set", "fit.epochs=2", "--fresh")
    completed(tmp_path, "prepare", *DIGITS)
    alone = completed(tmp_path, "train", *DIGITS, *exact)
    hosts = {"PYSPARK_PYTHON": sys.executable}  # where Millstream and torch are installed
    both = completed(tmp_path, "train", *DIGITS, *exact, "--devices", "2", "--master", cluster.master, **hosts)
    assert both["weights"] == alone["weights"]
    assert both["metrics"]["test/accuracy"] == alone["metrics"]["test/accuracy"]
    wrong = (*DIGITS, *exact, "--set", "fit.batch_size=3", "--devices", "2", "--master", cluster.master)
    refused = completed(tmp_path, "train", *wrong, code=2, **hosts)
    assert "lanes" in refused["faults"][0]["message"]


@pytest.mark.slow
def test_trees_grow_together_on_the_hosts_of_a_cluster(spark, here, cluster, tmp_path):
    trees = (
        "--set",
        "network={name: classical/xgboost, rounds: 20, depth: 4}",
        "--set",
        "fit={seed: 7, batch_size: 64}",
    )
    here(tmp_path, "prepare", *DIGITS)
    alone = here(tmp_path, "train", *DIGITS, *trees, "--fresh")
    hosts = {"PYSPARK_PYTHON": sys.executable}  # where Millstream and XGBoost are installed
    both = completed(
        tmp_path, "train", *DIGITS, *trees, "--fresh", "--devices", "2", "--master", cluster.master, **hosts
    )
    assert both["metrics"]["test/accuracy"] == pytest.approx(alone["metrics"]["test/accuracy"], abs=0.05)
    assert both["metrics"]["test/loss"] == pytest.approx(alone["metrics"]["test/loss"], rel=0.1)


@pytest.mark.slow
def test_spark_submit_finds_its_own_master(spark, cluster, recipe, tmp_path, settings):
    before = cluster.executors_so_far()
    submit = [str(spark_cluster.HOME / "bin" / "spark-submit"), "--master", cluster.master]
    home = environment(tmp_path, **cluster.environment, JAVA_HOME=str(find_java().parent.parent))
    job = [*submit, "--conf", "spark.driver.host=127.0.0.1", "millstream.py", "prepare", recipe]
    subprocess.run(job, env=home, cwd=ROOT, check=True, capture_output=True)
    assert described(tmp_path, "gusts") == prepared_here(settings, recipe)
    assert cluster.executors_so_far() > before


@pytest.mark.slow
def test_a_model_scores_on_a_cluster_as_on_one_machine(spark, cluster, recipe, tmp_path):
    found = completed(tmp_path, "run", recipe)
    table = str(Path(recipe).with_name("gusts.csv"))
    scored = completed(
        tmp_path,
        "score",
        found["model_uri"],
        table,
        str(tmp_path / "there"),
        "--master",
        cluster.master,
        **cluster.environment,
    )
    settings = Settings.read({"MILLSTREAM_HOME": str(tmp_path)})
    score(found["model_uri"], table, str(tmp_path / "here"), settings)
    both = [pd.read_parquet(tmp_path / name).sort_values("wind", ignore_index=True) for name in ("there", "here")]
    assert scored["rows"] == 200
    pd.testing.assert_frame_equal(*both)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("master", "code", "expected"),
    [
        ("spark://127.0.0.1:9", 4, "does not answer"),
        ("spark//127.0.0.1:7077", 2, "is no address of a master"),
    ],
)
def test_an_invalid_master_is_refused(tmp_path, master, code, expected):
    refused = completed(tmp_path, "prepare", *DIGITS, "--master", master, code=code)
    assert expected in refused["stderr"]
    assert master in refused["faults"][0]["where"]


OTHER_VERSION = """
import collections, sys
sys.version_info = collections.namedtuple("Version", "major minor micro releaselevel serial")(3, 8, 0, "final", 0)
"""
WITHOUT_ARROW = """
import sys
class Lacks:
    def find_spec(self, name, path=None, target=None):
        if name == "pyarrow":
            raise ModuleNotFoundError("No module named 'pyarrow'", name=name)
sys.meta_path.insert(0, Lacks())
"""


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (OTHER_VERSION, "has another version than this one; set PYSPARK_PYTHON"),
        (WITHOUT_ARROW, "lacks pyarrow; install"),
        (None, "a worker has no .*nowhere/python; set PYSPARK_PYTHON"),
    ],
    ids=["another version", "a package is missing", "no Python"],
)
def test_workers_with_another_python_are_reported_before_any_work(cluster, tmp_path, changed, expected):
    python = tmp_path / "nowhere" / "python"
    if changed is not None:
        python = spark_cluster.changed_python(tmp_path, changed)
    where = cluster.environment | {"PYSPARK_PYTHON": str(python)}
    refused = completed(tmp_path / "home", "prepare", *DIGITS, "--master", cluster.master, code=4, **where)
    assert re.search(expected, refused["stderr"])
    assert not list((tmp_path / "home").glob("datasets/digits/*"))


@pytest.mark.slow
@pytest.mark.fault
def test_a_cluster_without_workers_is_reported_in_time(tmp_path):
    with spark_cluster.cluster(tmp_path, workers=0) as idle:
        refused = completed(tmp_path / "home", "prepare", *DIGITS, "--master", idle.master, code=4, **idle.environment)
    assert "no worker took a job within 120 s" in refused["stderr"]


@pytest.mark.slow
@pytest.mark.fault
def test_a_cluster_that_is_gone_in_the_middle_is_reported_in_time(recipe, tmp_path):
    with spark_cluster.cluster(tmp_path, workers=1) as dying:
        job = started(tmp_path / "home", "prepare", recipe, "--master", dying.master, **dying.environment)
        assert next(line for line in job.stderr if line.startswith("split:"))
        dying.kill_worker()
    assert "no worker has been there" in answer(job, 4)["faults"][0]["message"]
    assert not list((tmp_path / "home").glob("datasets/gusts/*"))

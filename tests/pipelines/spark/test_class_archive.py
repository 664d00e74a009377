"""The archive of classes that Java starts from: used where it fits, and never a reason to fail."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from pyspark import SparkContext
from pyspark.find_spark_home import _find_spark_home

from millstream.pipelines.spark import class_archive
from millstream.pipelines.spark.class_archive import ClassArchive
from millstream.pipelines.spark.session import find_java
from millstream.tracking.settings import Settings


def settings_of(cache, archive="auto"):
    named = {"MILLSTREAM_HOME": str(cache / "home"), "XDG_CACHE_HOME": str(cache), "MILLSTREAM_CLASS_ARCHIVE": archive}
    return Settings.read(named)


def lists(options):
    return [one.partition("=")[2] for one in options if one.startswith("-XX:DumpLoadedClassList=")]


@pytest.fixture
def java(tmp_path):
    """A Java that makes an archive of a few bytes, or what the test puts in its place."""
    (tmp_path / "java" / "bin").mkdir(parents=True)
    file = tmp_path / "java" / "bin" / "java"
    file.write_text(
        '#!/bin/sh\nfor word; do case $word in *SharedArchiveFile=*) echo whole > "${word#*=}";; esac; done\n'
    )
    file.chmod(0o755)
    return file


@pytest.fixture
def classes(tmp_path):
    file = tmp_path / "listed.classes"
    file.write_text("java/lang/Object\njava/lang/Str")
    return file


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A real archive of a few classes, and the class path that it was made for."""
    folder = tmp_path_factory.mktemp("archive")
    class_path = str(next((Path(_find_spark_home()) / "jars").glob("py4j*.jar")))
    (folder / "listed.classes").write_text("java/lang/Object\npy4j/Gateway\n")
    archive = ClassArchive(find_java(), folder, "real")
    archive.make(folder / "listed.classes", class_path)
    return archive.found(), class_path


@pytest.mark.slow
@pytest.mark.spark
def test_spark_runs_from_the_archive_of_its_classes(spark):
    archive = ClassArchive.of(find_java(), Path(os.environ["XDG_CACHE_HOME"])).found()
    assert archive is not None
    assert str(archive) in Path(f"/proc/{SparkContext._gateway.proc.pid}/maps").read_text()


@pytest.mark.fault
@pytest.mark.parametrize("damage", ["none", "cut", "a byte flipped", "of another class path"])
def test_java_starts_without_an_archive_that_does_not_fit(whole, tmp_path, damage):
    java, (archive, class_path) = find_java(), whole
    held = ClassArchive.of(java, tmp_path)
    held.folder.mkdir(parents=True)
    size = archive.stat().st_size
    file = held.folder / f"{held.key}-{size}.jsa"
    shutil.copyfile(archive, file)
    with file.open("r+b") as content:
        if damage == "cut":
            content.truncate(size // 2)
        if damage == "a byte flipped":
            content.seek(size // 2)
            byte = content.read(1)[0]
            content.seek(size // 2)
            content.write(bytes([byte ^ 1]))
    options = class_archive.options(java, settings_of(tmp_path))
    assert any(str(file) in one for one in options) == (damage != "cut")
    started = [str(java), *options, "-cp", "." if damage == "of another class path" else class_path, "-version"]
    found = subprocess.run(started, capture_output=True, text=True, env={**os.environ, "JAVA_TOOL_OPTIONS": ""})
    assert (found.returncode, found.stdout) == (0, "")
    insisting = subprocess.run([*started[:-3], "-Xshare:on", *started[-3:]], capture_output=True)
    assert (insisting.returncode == 0) == (damage in ("none", "cut"))  # cut: Java's own


def test_it_is_made_at_the_sixth_start_that_goes_without(tmp_path, java):
    settings = settings_of(tmp_path)
    starts = [class_archive.options(java, settings) for _ in range(class_archive.STARTS)]
    assert [bool(lists(options)) for options in starts] == [False] * (class_archive.STARTS - 1) + [True]
    assert lists(class_archive.options(java, settings_of(tmp_path / "fresh", "now")))


@pytest.mark.parametrize("archive", ["off", "auto"])
def test_it_is_off_where_it_is_switched_off_or_has_no_folder(tmp_path, java, archive):
    (tmp_path / "millstream").write_text("no folder")
    for _ in range(class_archive.STARTS):
        assert class_archive.options(java, settings_of(tmp_path, archive)) == []
    assert class_archive.options(java, Settings.read({"MILLSTREAM_CLASS_ARCHIVE": "now"})) == []


def test_it_appears_whole_with_its_size_and_only_the_last_used_are_kept(tmp_path, java, classes):
    made = []
    for at in range(class_archive.KEPT + 1):
        archive = ClassArchive(java, tmp_path, f"key{at}")
        archive.make(classes, "a.jar")
        made.append(archive)
        assert archive.found().read_text() == "whole\n"
        os.utime(archive.found(), (at, at))
    assert [archive.found() is not None for archive in made] == [False, True, True]
    kept = {file.name for file in tmp_path.glob("key2*")}
    assert kept == {"key2.lock", "key2-6.jsa"}


@pytest.mark.fault
def test_java_that_makes_none_is_not_started_for_it_again(tmp_path, java, classes):
    java.write_text("#!/bin/sh\nexit 1\n")
    archive = ClassArchive.of(java, tmp_path)
    archive.folder.mkdir(parents=True)
    archive.make(classes, "a.jar")
    assert archive.found() is None
    assert lists(class_archive.options(java, settings_of(tmp_path, "now"))) == []
    assert not list(archive.folder.glob("*.made"))


def test_of_several_processes_one_makes_it(tmp_path, java, classes):
    archive = ClassArchive(java, tmp_path, "key")
    with (tmp_path / "key.lock").open("ab") as others:
        fcntl.flock(others, fcntl.LOCK_EX)
        archive.make(classes, "a.jar")
        assert archive.found() is None
    archive.make(classes, "a.jar")
    assert archive.found() is not None

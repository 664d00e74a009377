"""Java's options for a local session, with which its start and a small job cost less."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pyspark.find_spark_home import _find_spark_home

from millstream.pipelines.spark import class_archive
from millstream.tracking.settings import Settings

COMPILER, COLLECTOR = "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"
"""The fast compiler alone, and a collector without threads: a small job ends before better code has paid for itself."""
_CHOSEN = {
    COMPILER: re.compile(r"TieredStopAtLevel|TieredCompilation|-X(int|comp|mixed)\b"),
    COLLECTOR: re.compile(r"Use\w*GC\b"),
}
_SHARING = re.compile(r"-Xshare|SharedArchiveFile|ArchiveClassesAtExit|DumpLoadedClassList")
_ELSEWHERE = re.compile(r"(?:^|\s)@|-XX:(Flags|VMOptionsFile)=", re.MULTILINE)
"""Options that are in a file."""
_VARIABLES = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "SPARK_SUBMIT_OPTS", "PYSPARK_SUBMIT_ARGS")
_FILES = ("spark-defaults.conf", "spark-env.sh", "java-opts")


def of(java: Path, settings: Settings, raw_bytes: int | None) -> list[str]:
    """Options for a job that reads `raw_bytes`, None if that is unknown.

    What the user chose of compiler, collector and archive, by an environment variable or in Spark's configuration, is
    left alone: Java refuses two collectors.
    """
    chosen = "\n".join(_of_the_user())
    if _ELSEWHERE.search(chosen):
        return []
    is_small = raw_bytes is not None and raw_bytes <= settings.small_mib * (1 << 20)
    cheap = [option for option, choice in _CHOSEN.items() if is_small and not choice.search(chosen)]
    return [*cheap, *([] if _SHARING.search(chosen) else class_archive.options(java, settings))]


def quoted(options: list[str]) -> str:
    """The options in one text, as Spark takes them apart again."""
    return " ".join('"' + re.sub(r'(["\\])', r"\\\1", option) + '"' for option in options)


def _of_the_user() -> Iterator[str]:
    yield from (os.environ.get(name, "") for name in _VARIABLES)
    folder = Path(os.environ.get("SPARK_CONF_DIR") or Path(_find_spark_home()) / "conf")
    for file in (folder / name for name in _FILES):
        if file.is_file():
            yield file.read_text(encoding="utf-8", errors="replace")

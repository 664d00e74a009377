"""An archive of Spark's loaded classes (AppCDS), from which Java starts a local session in less time.

It belongs to one Java and one set of Spark's jars, and is kept in the user's cache folder. Java verifies it, and starts
without one that does not fit.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pyspark.find_spark_home import _find_spark_home
from pyspark.sql import SparkSession

from millstream.tracking.errors import BadEnvironment
from millstream.tracking.host.file_lock import locked
from millstream.tracking.settings import Settings

STARTS = 6
"""At this start of Java the archive is made: by then those without it have cost about as much more as it costs."""
KEPT = 2
"""Archives kept, of the last used Java and Spark: each takes 130 to 180 MiB."""
CLASSES = "millstream.classes"
"""Java's system property with the file that its loaded classes are listed in, at the start that makes the archive."""
_WITHIN_S = 600


@dataclass(frozen=True)
class ClassArchive:
    """The archive of `java` with the jars of the installed Spark, in `folder`; `key` is their hash."""

    java: Path
    folder: Path
    key: str

    @classmethod
    def of(cls, java: Path, cache: Path) -> ClassArchive:
        """Java's version, the jars with their sizes and times, and the folder that precedes them on the class path."""
        spark, release = Path(_find_spark_home()), java.parent.parent / "release"
        jars = sorted((jar.name, jar.stat().st_size, jar.stat().st_mtime_ns) for jar in (spark / "jars").iterdir())
        facts = [java, release.read_text() if release.is_file() else "", spark, os.environ.get("SPARK_CONF_DIR"), jars]
        key = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
        return cls(java, cache / "millstream" / "java", key)

    def found(self) -> Path | None:
        """The archive, if it is of this user and has the size in its name: Java crashes on one that was cut."""
        for file in self.folder.glob(f"{self.key}-*.jsa"):
            about = file.stat()
            if about.st_uid == os.geteuid() and file.stem == f"{self.key}-{about.st_size}":
                os.utime(file)
                return file
        return None

    def started(self) -> int:
        """How often Java was started without it, this time included."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / f"{self.key}.starts").open("ab") as starts:
            starts.write(b".")
            return starts.tell()

    def make(self, classes: Path, class_path: str) -> None:
        """Make the archive of the listed classes, unless another process does; it appears as a whole.

        A failure is noted, so that it is not tried again at each start.
        """
        listed, made = (self.folder / f"{self.key}.{kind}" for kind in ("list", "made"))
        with (self.folder / f"{self.key}.lock").open("ab") as lock:
            if not locked(lock, Path(lock.name), wait=False) or self.found():
                return
            content = classes.read_bytes()
            listed.write_bytes(content[: content.rfind(b"\n") + 1])  # Java still writes to the other one
            command: list[str | Path] = [
                self.java,
                "-Xshare:dump",
                f"-XX:SharedClassListFile={listed}",
                f"-XX:SharedArchiveFile={made}",
            ]
            try:
                subprocess.run([*command, "-cp", class_path], capture_output=True, timeout=_WITHIN_S, check=True)
                made.replace(self.folder / f"{self.key}-{made.stat().st_size}.jsa")
                self._remove_unused()
            except (FileNotFoundError, subprocess.SubprocessError):
                self.failed.touch()
            finally:
                for file in (listed, made):
                    file.unlink(missing_ok=True)

    @property
    def failed(self) -> Path:
        return self.folder / f"{self.key}.failed"

    def _remove_unused(self) -> None:
        for left in self.folder.glob(f"{self.key}.*.classes"):  # of processes that were killed
            left.unlink(missing_ok=True)
        archives = sorted(self.folder.glob("*.jsa"), key=lambda file: file.stat().st_mtime)
        for file in archives[:-KEPT]:
            file.unlink(missing_ok=True)


def options(java: Path, settings: Settings) -> list[str]:
    """Java's options for a start with the archive, or for one that lists the classes for it; none where it is off."""
    if settings.class_archive == "off" or settings.user_cache is None:
        return []
    with suppress(OSError):  # as good as no archive
        archive = ClassArchive.of(java, settings.user_cache)
        if found := archive.found():
            return [f"-XX:SharedArchiveFile={found}", "-XX:+VerifySharedSpaces", "-Xshare:auto"]
        is_due = archive.started() >= STARTS or settings.class_archive == "now"
        if is_due and not archive.failed.exists():
            classes = archive.folder / f"{archive.key}.{os.getpid()}.classes"
            return [f"-XX:DumpLoadedClassList={classes}", f"-D{CLASSES}={classes}"]
    return []


def make_if_due(spark: SparkSession, say: Callable[[str], None]) -> None:
    """At the end of a job: make the archive, if Java listed its classes since its start."""
    system = spark._jvm.java.lang.System
    listed = system.getProperty(CLASSES)
    if listed is None or not Path(listed).exists():
        return
    classes, java = Path(listed), Path(system.getProperty("java.home")) / "bin" / "java"
    say("keeping Java's loaded classes, once: it starts faster from now on")
    with suppress(OSError, BadEnvironment):  # Java starts without an archive as before
        archive = ClassArchive(java, classes.parent, classes.name.partition(".")[0])
        archive.make(classes, system.getProperty("java.class.path"))
    classes.unlink(missing_ok=True)

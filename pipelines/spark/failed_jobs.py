"""Maps errors of Spark jobs to faults of the data or of the environment, without stack traces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError
from pyspark.errors import PySparkException

from millstream.pipelines.spark import cluster
from millstream.tracking.errors import BadData, BadEnvironment, Refusal

LONGEST_CAUSE = 200
_KINDS = {kind.__name__: kind for kind in Refusal.__subclasses__()}
_REFUSED = re.compile(rf"millstream\.tracking\.errors\.({'|'.join(_KINDS)}): (.+)")
"""A refusal raised on a worker, in the job's traceback."""
_FILE = re.compile(r"\bfile:/+(\S*[^\s.,;:)'\"])")
_PACKAGES = re.compile(r"^(?:\w+\.)+")
_CODE = re.compile(r"PythonException|Traceback \(most recent call last\)")
_LOST = {
    "No space left on device": "the disk is full; make room, or set MILLSTREAM_HOME to another disk",
    "Disk quota exceeded": "the quota of the disk is used up; make room, or set MILLSTREAM_HOME to another disk",
    "java.lang.OutOfMemoryError": "Java has no memory left; prepare fewer rows at once, or on a larger machine",
    "Cannot allocate memory": "there is no memory left; prepare fewer rows at once, or on a larger machine",
    "Python worker exited unexpectedly": "a worker's Python was killed, perhaps for lack of memory",
    "ExecutorLostFailure": "a worker was lost, and its work could not be repeated",
    "Permission denied": "a file or folder may not be read or written; look at its owner",
    "SparkContext was shut down": "Spark was shut down while it worked",
    "stopped SparkContext": "Spark was shut down while it worked",
}


@contextmanager
def translated(where: object) -> Iterator[None]:
    """Turns the failure of a job into BadData or BadEnvironment; `where` is reported when the file is unknown.

    Any other error of Python code on a worker is unexpected: a RuntimeError with its last line.
    """
    try:
        yield
    except (PySparkException, Py4JError) as error:
        refused = refusal(where, error)
        if refused is None:
            raise RuntimeError(cluster.cause(error)) from error
        raise refused from error


def refusal(where: object, error: Exception) -> Refusal | None:
    """BadData with the file, or BadEnvironment; None for an error in Python code."""
    text = str(error)
    if cluster.is_given_up(text):
        return BadEnvironment.at("spark cluster", cluster.GONE)
    if raised := raised_on_worker(text):
        kind, (place, _, message) = raised[0], raised[1].partition(": ")
        return kind.at(place, message) if message else kind.at(where, place)
    if isinstance(error, Py4JNetworkError) or not isinstance(error, Py4JJavaError | PySparkException):
        problem = f"Java does not answer any more ({cluster.cause(text)[:LONGEST_CAUSE]})"
        return BadEnvironment.at(
            "spark", f"{problem}; was it killed, perhaps for lack of memory? give the command again"
        )
    for sign, message in _LOST.items():
        if sign in text:
            return BadEnvironment.at("spark", f"{message} ({cluster.cause(text)[:LONGEST_CAUSE]})")
    if _CODE.search(text):
        return None
    cause = _PACKAGES.sub("", cluster.cause(text))[:LONGEST_CAUSE]
    if named := _FILE.search(text):
        path = Path("/", unquote(named[1]))
        return BadData.at(path, f"{_damaged(path)}cannot be read to its end ({cause}); get the file again")
    return BadData.at(where, f"a value cannot be worked with ({cause}); look at the columns that it names")


def raised_on_worker(text: str) -> tuple[type[Refusal], str] | None:
    """The refusal that a worker raised, and its text, from the message of the job's error."""
    match = _REFUSED.search(text)
    return (_KINDS[match[1]], match[2]) if match else None


def _damaged(path: Path) -> str:
    """Message prefix that names the unreadable columns of a Parquet file, each read separately."""
    if not path.is_file():
        return ""
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError):
        return ""
    bad = [name for name in names if not _reads(path, name)]
    return f"column {', '.join(map(repr, bad))}: " if bad else ""


def _reads(path: Path, name: str) -> bool:
    try:
        with pq.ParquetFile(path) as file:
            for _ in file.iter_batches(columns=[name]):
                pass
        return True
    except (pa.ArrowException, OSError):
        return False

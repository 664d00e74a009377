"""Maps the error of a failed Spark job to the data or to the environment."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from millstream.pipelines.spark import cluster
from millstream.pipelines.spark.failed_jobs import LONGEST_CAUSE, raised_on_worker
from millstream.tracking.errors import BadData, BadEnvironment, Fault, Refusal
from millstream.tracking.host.disk_full import is_full

_OF_MLFLOW = re.compile(r"mlflow\.exceptions\.MlflowException: [^\0]*?Error: (.+)")
_UNREAD = re.compile(r"error while reading file (?:file:/*(?=/))?(.+?)\.(?: Details| SQLSTATE|\s|$)")
_OF_VALUES = re.compile(
    r"^(?:\w+\.)*(?:ValueError|TypeError|OverflowError|IndexError|KeyError|UnicodeDecodeError|UnidentifiedImageError"
    r"|Arrow\w+|\w*ArithmeticException|\w*DateTimeException|NumberFormatException): "
)


def refusal(where: object, error: Exception, damaged: Callable[[], Iterable[Fault]]) -> Refusal | None:
    """The refusal to raise instead of an error of Spark; None when the disk is full, which the command reports.

    `damaged` searches the files for unreadable parts, if no worker reported the cause.
    """
    if cluster.is_given_up(error):
        return BadEnvironment.at("spark cluster", cluster.GONE)
    text = str(error)
    if raised := raised_on_worker(text):
        kind, message = raised
        return kind.at(where, message)
    if refused := _OF_MLFLOW.search(text):
        return BadData.at(where, refused[1])
    if is_full(error):
        return None
    if faults := list(damaged()):
        return BadData(*faults)
    cause = cluster.cause(error)[:LONGEST_CAUSE]
    if unread := _UNREAD.search(text):
        return BadData.at(unread[1], f"cannot be read ({cause}); get the file again")
    if _OF_VALUES.match(cause):
        return BadData.at(where, f"holds values that cannot be read ({cause})")
    return BadEnvironment.at("spark", f"the job failed ({cause}); give the command again")

"""What a tracking store answers in the place of a result: one error, in plain words, whatever MLflow raised."""

from __future__ import annotations

import os
import re
import shutil
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from mlflow.exceptions import MlflowException, RestException
from requests.exceptions import RetryError, SSLError, Timeout

from millstream.tracking.errors import BadEnvironment, Fault
from millstream.tracking.host import file_access
from millstream.tracking.host.disk_full import is_full
from millstream.tracking.settings import SQLITE, sqlite_file

MISSING, EXISTS = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"
INVALID, LATER = "INVALID_PARAMETER_VALUE", "TEMPORARILY_UNAVAILABLE"
"""MLflow's own names of errors."""
SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
LONGEST_WORDS = 300
_STATUS = re.compile(r"failed with error code (\d{3})|too many (\d{3}) error responses|(\d{3}) (?:Client|Server) Error")
"""How MLflow, urllib3 and requests tell the status of an answer."""
_ANSWERS = {
    401: "does not know who asks (401); set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
    "MLFLOW_TRACKING_TOKEN",
    403: "does not permit this (403); ask those who run it for the permission to read and write runs and models",
    404: "has nothing at this address (404); look whether MLFLOW_TRACKING_URI is the address of an MLflow server",
    407: "is behind a proxy that does not know who asks (407); give user and password in http_proxy or https_proxy",
    413: "takes no request of this size (413); raise the limit of the proxy before it (nginx: client_max_body_size)",
    429: "gets too many requests (429); try again later, or raise the limit of the proxy before it",
}
_INVALID_HOST = (
    "takes no requests under this host name (403, Invalid Host header); start it with --allowed-hosts and the name, or "
    "with MLFLOW_SERVER_ALLOWED_HOSTS"
)
_OFFLINE = "start it, or unset MLFLOW_TRACKING_URI to work offline, in a file"
_UNTRUSTED = (
    "has a certificate that is not trusted; name the authority's file in MLFLOW_TRACKING_SERVER_CERT_PATH or "
    "REQUESTS_CA_BUNDLE"
)


class StoreError(BadEnvironment):
    """The tracking store refuses something, fails, or does not answer."""

    status = 0
    """The HTTP status of the answer; 0 where there was none, or it is not known."""
    code = ""
    """MLflow's own name of the error, where MLflow answered."""
    is_gone = False
    """Whether it did not answer, or asks to be asked later: the next request will hardly do better."""

    @classmethod
    def of(cls, error: Exception, uri: str) -> StoreError:
        """What was raised while the store at `uri` was asked."""
        status = _status(error)
        refused = cls(Fault(where=shown(uri), message=_words(error, status, uri)))
        refused.status, refused.code = status, error.error_code if isinstance(error, MlflowException) else ""
        is_away = _is_unanswered(error) or status in (408, 429) or status >= 500 or refused.code == LATER
        # a disk that is full is there, and has to refuse by itself what it has no room for
        refused.is_gone = is_away and not is_full(error)
        return refused

    @property
    def is_missing(self) -> bool:
        """Whether MLflow itself says that what was asked for is not there; a proxy's 404 says nothing of that."""
        return self.code in (MISSING, INVALID)

    @property
    def has_looked(self) -> bool:
        """Whether it looked for what was asked: it answered, and permits to ask."""
        return not self.is_gone and self.status not in (401, 403, 407)

    @property
    def is_of_content(self) -> bool:
        """Whether it refuses what was sent, so that a part of it may do."""
        return self.status in (400, 413) or self.code == INVALID


@contextmanager
def answering(uri: str) -> Iterator[None]:
    """Raises StoreError for whatever is raised inside: MLflow passes on what its plug-ins, a database or an artifact
    store raise, each with kinds of its own."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise StoreError.of(error, uri) from error


def shown(uri: str) -> str:
    """An address without its user and password."""
    return without_secrets(uri, uri)


def without_secrets(text: str, uri: str = "") -> str:
    """The text without the users and passwords of addresses in it, the password of `uri`, and those of the settings."""
    of_uri = re.search(r"//[^/@]*?:([^@]*)@", uri)
    written = of_uri[1] if of_uri else ""
    for secret in (written, urllib.parse.unquote(written), *(os.environ.get(name, "") for name in SECRETS)):
        text = text.replace(secret, "***") if secret else text
    return re.sub(r"//[^/\s]*@", "//***@", text)


def first_line(error: BaseException, uri: str = "") -> str:
    """What an error says, without the trace or the statement that others add, and without a password."""
    lines = str(error).strip().splitlines()
    return without_secrets(lines[0] if lines else type(error).__name__, uri)[:LONGEST_WORDS]


def _words(error: Exception, status: int, uri: str) -> str:
    """What the store does, and what would do."""
    if refused := file_access.refusal(error, sqlite_file(uri)):
        return refused.faults[0].message
    if is_full(error):
        folder = Path(uri.removeprefix(SQLITE)).parent if uri.startswith(SQLITE) else None
        free = f": {shutil.disk_usage(folder).free} bytes are free" if folder and folder.exists() else ""
        return f"the disk of the tracking store is full{free}; make room, or set MILLSTREAM_HOME to another disk"
    if not uri.startswith(("http://", "https://")):
        return f"the tracking store does not answer ({first_line(error, uri)})"
    if "Invalid Host header" in str(error):
        return f"the tracking server {_INVALID_HOST}"
    if _has(error, SSLError):
        return f"the tracking server {_UNTRUSTED} ({first_line(_origin(error), uri)})"
    if status in _ANSWERS and not (isinstance(error, RestException) and error.error_code == MISSING):
        return f"the tracking server {_ANSWERS[status]}"
    if status >= 500:
        return f"the tracking server fails ({status}); look at its log, or try again later"
    if _is_unanswered(error):
        return f"no tracking server answers ({first_line(_origin(error), uri)}); {_OFFLINE}"
    return f"the tracking server refuses ({first_line(error, uri)})"


def _status(error: Exception) -> int:
    """The HTTP status of an answer; 0 where there was none, or it is not known."""
    for one in _kin(error):
        if isinstance(one, requests.HTTPError) and one.response is not None:
            return int(one.response.status_code)
        if found := _STATUS.search(str(one)):
            return int(next(filter(None, found.groups())))
    if isinstance(error, RestException) and error.json.get("error_code"):
        return int(error.get_http_status_code())
    return 0


def _is_unanswered(error: Exception) -> bool:
    return _has(error, ConnectionError, Timeout, RetryError, requests.ConnectionError)


def _has(error: Exception, *kinds: type[BaseException]) -> bool:
    return any(isinstance(one, kinds) for one in _kin(error))


def _kin(error: BaseException) -> list[BaseException]:
    """An error and what MLflow raised it for."""
    return [one for one in (error, error.__cause__, error.__context__) if one is not None]


def _origin(error: BaseException) -> BaseException:
    return error.__cause__ or error.__context__ or error

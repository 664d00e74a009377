"""One error class for all failures of a tracking store, in plain words, whatever MLflow raised."""

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
"""MLflow's error codes."""
SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
LONGEST_WORDS = 300
_STATUS = re.compile(r"failed with error code (\d{3})|too many (\d{3}) error responses|(\d{3}) (?:Client|Server) Error")
"""How messages of MLflow, urllib3 and requests contain the HTTP status."""
_ANSWERS = {
    401: "does not know the user (401); set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
    "MLFLOW_TRACKING_TOKEN",
    403: "does not permit this (403); ask those who run it for the permission to read and write runs and models",
    404: "has nothing at this address (404); look whether MLFLOW_TRACKING_URI is the address of an MLflow server",
    407: "is behind a proxy that does not know the user (407); give user and password in http_proxy or https_proxy",
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
    """The tracking store refuses something, fails, or does not respond."""

    status = 0
    """HTTP status of the response; 0 if there was none, or it is unknown."""
    code = ""
    """MLflow's error code, if MLflow responded."""
    is_gone = False
    """Whether it did not respond, or requests a later retry: an immediate retry is pointless."""

    @classmethod
    def of(cls, error: Exception, uri: str) -> StoreError:
        """The error raised by a call to the store at `uri`."""
        status = _status(error)
        refused = cls(Fault(where=shown(uri), message=_words(error, status, uri)))
        refused.status, refused.code = status, error.error_code if isinstance(error, MlflowException) else ""
        is_away = _is_unanswered(error) or status in (408, 429) or status >= 500 or refused.code == LATER
        # a server with a full disk is up, and refuses what does not fit
        refused.is_gone = is_away and not is_full(error)
        return refused

    @property
    def is_missing(self) -> bool:
        """Whether MLflow itself reports the resource as missing; a proxy's 404 does not count."""
        return self.code in (MISSING, INVALID)

    @property
    def has_looked(self) -> bool:
        """Whether the store did the lookup: it responded, and access was permitted."""
        return not self.is_gone and self.status not in (401, 403, 407)

    @property
    def is_of_content(self) -> bool:
        """Whether it refuses the content, so that a part of it may be accepted."""
        return self.status in (400, 413) or self.code == INVALID


@contextmanager
def answering(uri: str) -> Iterator[None]:
    """Converts every exception inside to StoreError: MLflow passes on those of its plug-ins, databases and artifact
    stores."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:  # MLflow, SQLAlchemy and the libraries of artifacts have errors of their own
        raise StoreError.of(error, uri) from error


def shown(uri: str) -> str:
    """A URI without user and password."""
    return without_secrets(uri, uri)


def without_secrets(text: str, uri: str = "") -> str:
    """The text without users and passwords of URIs in it, the password of `uri`, and those in the environment."""
    of_uri = re.search(r"//[^/@]*?:([^@]*)@", uri)
    written = of_uri[1] if of_uri else ""
    for secret in (written, urllib.parse.unquote(written), *(os.environ.get(name, "") for name in SECRETS)):
        text = text.replace(secret, "***") if secret else text
    return re.sub(r"//[^/\s]*@", "//***@", text)


def first_line(error: BaseException, uri: str = "") -> str:
    """First line of an error, without trace, SQL statement or password."""
    lines = str(error).strip().splitlines()
    return without_secrets(lines[0] if lines else type(error).__name__, uri)[:LONGEST_WORDS]


def _words(error: Exception, status: int, uri: str) -> str:
    """What the store does, with the remedy."""
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
    """HTTP status of a response; 0 if there was none, or it is unknown."""
    for cause in _kin(error):
        if isinstance(cause, requests.HTTPError) and cause.response is not None:
            return int(cause.response.status_code)
        if match := _STATUS.search(str(cause)):
            return int(next(filter(None, match.groups())))
    if isinstance(error, RestException) and error.json.get("error_code"):
        return int(error.get_http_status_code())
    return 0


def _is_unanswered(error: Exception) -> bool:
    return _has(error, ConnectionError, Timeout, RetryError, requests.ConnectionError)


def _has(error: Exception, *kinds: type[BaseException]) -> bool:
    return any(isinstance(cause, kinds) for cause in _kin(error))


def _kin(error: BaseException) -> list[BaseException]:
    """An error with its cause and context."""
    return [cause for cause in (error, error.__cause__, error.__context__) if cause is not None]


def _origin(error: BaseException) -> BaseException:
    return error.__cause__ or error.__context__ or error

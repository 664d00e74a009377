"""A proxy on loopback before a real tracking server: it counts the calls, and answers some of them in its place."""

from __future__ import annotations

import base64
import http.client
import http.server
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

USER, PASSWORD = "anna", "s3cret-w0rd"
PAGE = b"<html><body>Sign in</body></html>"
HOST = b"Invalid Host header - possible DNS rebinding attack detected"
ANSWERS = {
    "401": (401, b"who are you?"),
    "403": (403, b"<html>403 Forbidden</html>"),
    "404": (404, b"<html>404 Not Found</html>"),
    "413": (413, b"<html>413 Request Entity Too Large</html>"),
    "429": (429, b"slow down"),
    "500": (500, b"<html>500 Internal Server Error</html>"),
    "host": (403, HOST),
    "page": (200, PAGE),
    "closed": None,
}
"""What a proxy answers, or a server that is misconfigured; None closes the connection."""
FOREVER = 1_000_000
_ARTIFACT = re.compile(r"/mlflow-artifacts/artifacts/\d+/[^/]+/artifacts/([^/]+)")


class Front:
    """Passes on what comes with the right user and password; over TLS where it is given a context."""

    def __init__(self, upstream: str, tls: ssl.SSLContext | None = None) -> None:
        self.upstream = urlsplit(upstream)
        self.calls: list[str] = []
        self._fails: tuple[str, str, int] = ("", "", 0)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def uri(self) -> str:
        return f"http://{USER}:{PASSWORD}@127.0.0.1:{self.port}"

    @contextmanager
    def failing(self, call: str, answer: str, times: int) -> Iterator[None]:
        """While inside, the first calls of this name (all for "") are answered so."""
        self._fails = (call, answer, times)
        try:
            yield
        finally:
            self._fails = ("", "", 0)

    def answer(self, call: str) -> str | None:
        """What this call is answered by the front itself."""
        self.calls.append(call)
        failing, answer, times = self._fails
        if times == 0 or failing not in ("", call):
            return None
        self._fails = (failing, answer, times - 1)
        return answer

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def name_of(method: str, path: str) -> str:
    """The kind of a call: `runs/create`, or `PUT model` for any file of the artifact `model`."""
    path = urlsplit(path).path
    if "/mlflow-artifacts/" in path:
        found = _ARTIFACT.search(path)
        return f"{method} {found[1] if found else 'artifacts'}"
    return re.sub(r"^/(ajax-)?api/\d\.\d/mlflow/", "", path)


def _handler(front: Front) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: object) -> None:
            pass

        def passed_on(self) -> None:
            body = self._body()
            wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            kind = front.answer(name_of(self.command, self.path))
            if kind is None and self.headers.get("Authorization") != wanted:
                kind = "401"
            if kind is None:
                self._send(*self._forwarded(body))
                return
            answer = ANSWERS[kind]
            if answer is None:
                self.close_connection = True
                return
            self._send(answer[0], "text/html", answer[1])

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = passed_on

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = b""
            while size := int(self.rfile.readline().strip(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found

        def _forwarded(self, body: bytes) -> tuple[int, str, bytes]:
            kept = {name: value for name, value in self.headers.items() if name.lower() in ("content-type", "accept")}
            server = http.client.HTTPConnection(front.upstream.hostname or "", front.upstream.port, timeout=60)
            server.request(self.command, self.path, body or None, kept)
            got = server.getresponse()
            return got.status, got.headers.get("Content-Type", ""), got.read()

        def _send(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            if status == 429:
                self.send_header("Retry-After", "3600")  # nobody waits that long
            self.end_headers()
            self.wfile.write(content)

    return Handler

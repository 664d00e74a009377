"""A model behind HTTP: `/health`, `/schema`, `/predict`, and `/generate` for a generative one.

Run as a module it serves the model in a folder, with nothing but the model's requirements, Starlette and uvicorn.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import ipaddress
import json
import os
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from millstream.tracking.errors import BadEnvironment, Refusal, WrongRecipe
from millstream.training.serving import model_file
from millstream.training.serving.model import Model
from millstream.training.serving.rows import WrongRows, expected, frame_of

TOKEN = "MILLSTREAM_SERVE_TOKEN"
LOOPBACK = "127.0.0.1"
JSON = "application/json"
BODY_WITHIN_S = 30
MOST_AT_ONCE = 64
"""Connections; more are answered 503."""


@dataclass(frozen=True)
class Limits:
    body_mib: float = 8
    rows: int = 1000


@dataclass(frozen=True)
class Service:
    """The answers of a model; each handler takes a request and returns a response."""

    model: Model
    name: str
    limits: Limits = Limits()
    token: str | None = None
    """What a request has to send as `Authorization: Bearer TOKEN`; None where anybody may ask."""

    def app(self, hosts: Sequence[str] = ("*",)) -> Starlette:
        """The application, for requests to these host names."""
        routes = [
            Route("/health", self.health),
            Route("/schema", self.schema),
            Route("/predict", self.predict, methods=["POST"]),
            Route("/invocations", self.predict, methods=["POST"]),
        ]
        if self.model.runtime.generated:
            routes.append(Route("/generate", self.generate, methods=["POST"]))
        handlers: Mapping[Any, Any] = {HTTPException: _refused, Refusal: _not_predicted, Exception: _failed}
        guard = Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
        return Starlette(routes=routes, exception_handlers=dict(handlers), middleware=[guard])

    async def health(self, request: Request) -> JSONResponse:
        return JSONResponse({"ok": True})

    async def schema(self, request: Request) -> JSONResponse:
        """The columns of a row, the columns of a prediction, and the limits."""
        self._admit(request)
        inputs = [
            {
                "name": column.name,
                "type": column.dtype,
                "shape": list(column.shape),
                "unit": column.unit,
                "optional": column.name in self.model.optional,
                "expected": expected(column),
            }
            for column in self.model.raw_columns
        ]
        limits = {"body_mib": self.limits.body_mib, "rows": self.limits.rows}
        outputs, generated = dict(self.model.runtime.outputs), dict(self.model.runtime.generated)
        return JSONResponse(
            {"model": self.name, "inputs": inputs, "outputs": outputs, "generated": generated, "limits": limits}
        )

    async def predict(self, request: Request) -> JSONResponse:
        rows = _rows(await self._body(request))
        self._bound(len(rows), "rows")
        try:
            raw = frame_of(rows, self.model.raw_columns, self.model.optional)
        except WrongRows as error:
            wrong = [one.model_dump() for one in error.wrong]
            return JSONResponse({"error": str(error), "count": error.count, "values": wrong}, 422)
        found = await run_in_threadpool(self.model.predict, raw)
        return JSONResponse({"predictions": _records(found)})

    async def generate(self, request: Request) -> JSONResponse:
        body = await self._body(request)
        count: Any = body.get("count")
        seed: Any = body.get("seed", 0)
        if not (_is_count(count) and count and _is_count(seed)):
            raise HTTPException(422, "count is a whole number from 1, seed one from 0")
        self._bound(count, "samples")
        drawn = await run_in_threadpool(self.model.runtime.generate, count, seed)
        return JSONResponse({"samples": _records(pd.DataFrame({name: list(values) for name, values in drawn.items()}))})

    def _admit(self, request: Request) -> None:
        if self.token is None:
            return
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {self.token}".encode()):
            raise HTTPException(401, "send the header Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})

    async def _body(self, request: Request) -> dict[str, Any]:
        self._admit(request)
        # a page of another site may not send this type without a question that is not answered
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            raise HTTPException(415, f"send the header Content-Type: {JSON}")
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                content = await self._limited(request)
        except TimeoutError:
            raise HTTPException(408, f"the body did not arrive within {BODY_WITHIN_S} s") from None
        except ClientDisconnect:
            raise HTTPException(400, "the body is not complete") from None
        try:
            body = json.loads(content, object_pairs_hook=_distinct, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, f"no JSON ({str(error)[:200]})") from None
        if not isinstance(body, dict):
            raise HTTPException(400, 'expected one JSON object, such as {"rows": [{...}]}')
        return body

    async def _limited(self, request: Request) -> bytes:
        most, content = int(self.limits.body_mib * (1 << 20)), bytearray()
        async for piece in request.stream():
            content += piece
            if len(content) > most:
                raise HTTPException(413, f"the body is over {self.limits.body_mib:g} MiB; send fewer rows at once")
        return bytes(content)

    def _bound(self, count: int, what: str) -> None:
        if count > self.limits.rows:
            raise HTTPException(413, f"{count} {what}; at most {self.limits.rows} at once")


def _rows(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of `{"rows": [{...}]}`, or MLflow's `dataframe_records` or `dataframe_split`."""
    rows: Any = None
    if len(body) == 1:
        rows = body.get("rows", body.get("dataframe_records"))
        split = body.get("dataframe_split")
        if isinstance(split, dict):
            columns, data = split.get("columns"), split.get("data")
            if isinstance(columns, list) and isinstance(data, list) and len(set(map(str, columns))) == len(columns):
                is_table = all(isinstance(row, list) and len(row) == len(columns) for row in data)
                rows = [dict(zip(map(str, columns), row, strict=True)) for row in data] if is_table else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        would = 'expected {"rows": [{COLUMN: VALUE, ...}, ...]}, or dataframe_records or dataframe_split of MLflow'
        raise HTTPException(422, f"no rows; {would}")
    return rows


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice in an object")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    columns = {name: [_plain(value) for value in frame[name]] for name in frame.columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _plain(value: Any) -> Any:
    """A value as JSON, which has no NaN: null."""
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(one) for one in (value.tolist() if isinstance(value, np.ndarray) else value)]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


async def _refused(request: Request, error: HTTPException) -> JSONResponse:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _not_predicted(request: Request, error: Refusal) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 422)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    sys.stderr.writelines(traceback.format_exception(error))
    return JSONResponse({"error": "the model failed; the server's output has the reason"}, 500)


def token_of(environment: Mapping[str, str], file: Path | None) -> str | None:
    """The token in a file, or in the environment. Raises WrongRecipe for one that is empty or no ASCII."""
    if file is None and TOKEN not in environment:
        return None
    where = TOKEN if file is None else str(file)
    try:
        token = (environment[TOKEN] if file is None else file.read_text(encoding="utf-8")).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongRecipe.at(where, f"cannot be read ({type(error).__name__})") from None
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise WrongRecipe.at(where, "has no token; write one of ASCII letters and digits, without blanks")
    return token


def listening(host: str, port: int, token: str | None) -> socket.socket:
    """A socket that takes connections. Raises WrongRecipe for an address that others reach without a token, and
    BadEnvironment for one that cannot be used."""
    if token is None and not is_loopback(host):
        message = "others reach it; set a token by --token-file or MILLSTREAM_SERVE_TOKEN"
        raise WrongRecipe.at(f"--host {host}", message)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=128)
        # connections inherit it; asyncio sets it on sockets of another kind, and an answer's body would wait 40 ms
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise BadEnvironment.at(f"{host}:{port}", f"cannot be used ({error.strerror}); give another --port") from None


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(service: Service, listener: socket.socket) -> None:
    """Answer requests until SIGINT or SIGTERM, which ends after those that are being answered."""
    host = listener.getsockname()[0]
    # a page whose name is made to lead to this machine has another host
    hosts = ("localhost", LOOPBACK, "[::1]") if is_loopback(host) else ("*",)
    options: dict[str, Any] = {"log_level": "warning", "access_log": False, "lifespan": "off", "server_header": False}
    config = uvicorn.Config(service.app(hosts), limit_concurrency=MOST_AT_ONCE, timeout_graceful_shutdown=10, **options)
    uvicorn.Server(config).run(sockets=[listener])


def main(words: Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser(description="Serve the model in a folder by HTTP.")
    options.add_argument("folder", type=Path)
    options.add_argument("--host", default=LOOPBACK)
    options.add_argument("--port", type=int, default=8080)
    options.add_argument("--token-file", type=Path)
    given = options.parse_args(words)
    try:
        token = token_of(os.environ, given.token_file)
        service = Service(model_file.load(given.folder), str(given.folder), token=token)
        listener = listening(given.host, given.port, token)
    except Refusal as error:
        sys.exit(str(error))
    sys.stderr.write(f"{url_of(listener)}\n")
    try:
        run(service, listener)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

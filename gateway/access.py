"""What happens around every request: an id, a line in the log, counts, and a refusal while the process stops."""

from __future__ import annotations

import time
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.drain import Drain
from gateway.execution.requests import OUR_FAULT
from gateway.logs import ACCESS, log_request, request_id
from gateway.metrics import Metrics
from gateway.transports.heads import header
from gateway.transports.limits import answer, request_error

ALWAYS_ANSWERED: Final = frozenset({"/livez", "/readyz", "/metrics"})
CLIENT_WENT_AWAY: Final = 499
MAX_LOGGED_PATH: Final = 200
REQUEST_ID: Final = b"x-request-id"

_log = structlog.get_logger(ACCESS)


class Access:
    """The outermost middleware. `scope["state"]["request_id"]` and the header `X-Request-Id` hold the request's id.

    An exception that nothing inside has answered becomes a 500 with that id, and one line in the log.
    """

    def __init__(self, app: ASGIApp, drain: Drain, metrics: Metrics) -> None:
        self._app = app
        self._drain = drain
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        id = request_id(header(scope, REQUEST_ID))
        scope.setdefault("state", {})["request_id"] = id
        structlog.contextvars.bind_contextvars(request_id=id)
        exchange = _Exchange(scope, send, id)
        self._drain.begin()
        try:
            await self._inside(exchange, scope, receive)
        finally:
            self._drain.end()
            self._record(exchange, scope)

    async def _inside(self, exchange: _Exchange, scope: Scope, receive: Receive) -> None:
        if self._drain.is_draining and scope["path"] not in ALWAYS_ANSWERED:
            headers = {"Retry-After": "1", "Connection": "close"}
            refusal = request_error(scope, 503, "This process is stopping: try again", code="INTERNAL", headers=headers)
            await answer(scope, receive, exchange.send, refusal)
            return
        try:
            await self._app(scope, receive, exchange.send)
        except Exception:
            _log.exception("request_failed", path=_path(scope))
            if scope["type"] == "http" and not exchange.has_body:
                # A head alone has not been sent: a server holds it until there is a body.
                ids = {"requestId": exchange.request_id}
                failure = request_error(scope, 500, OUR_FAULT, code="INTERNAL", extensions=ids)
                await answer(scope, receive, exchange.send, failure)
            elif scope["type"] == "websocket":
                await exchange.close()

    def _record(self, exchange: _Exchange, scope: Scope) -> None:
        duration_s = time.perf_counter() - exchange.began_at
        path, duration_ms = _path(scope), round(duration_s * 1000, 1)
        if scope["type"] == "websocket":
            _log.info("socket", code=exchange.close_code, status=exchange.status, path=path, duration_ms=duration_ms)
            return
        method, status = scope["method"], exchange.status or CLIENT_WENT_AWAY
        self._metrics.http_request(method, status, duration_s)
        log_request(method, status, path, duration_ms, exchange.request_id, is_probe=path in ALWAYS_ANSWERED)


class _Exchange:
    """What was sent so far for one request or socket."""

    def __init__(self, scope: Scope, send: Send, id: str) -> None:
        self.began_at = time.perf_counter()
        self.request_id = id
        self.status: int | None = None
        self.close_code: int | None = None
        self.has_body = False
        self._send = send
        self._is_open = scope["type"] == "websocket"

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind in {"http.response.start", "websocket.http.response.start"}:
            self.status = message["status"]
        elif kind == "http.response.body":
            self.has_body = True
            await self._send(message)
            return
        if kind in {"http.response.start", "websocket.http.response.start", "websocket.accept"}:
            others = [header for header in message.get("headers", ()) if header[0] != REQUEST_ID]
            message["headers"] = [*others, (REQUEST_ID, self.request_id.encode())]
        if kind == "websocket.close":
            self.close_code = message.get("code", 1000)
        if kind in {"websocket.close", "websocket.http.response.start"}:
            self._is_open = False
        await self._send(message)

    async def close(self) -> None:
        if self._is_open:
            await self.send({"type": "websocket.close", "code": 1011})


def _path(scope: Scope) -> str:
    # Without the query string, which holds documents and variables.
    path: str = scope["path"]
    return path[:MAX_LOGGED_PATH]

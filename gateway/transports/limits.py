"""What a request may not exceed before anybody looks into it, and from which other origins browsers may ask."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from itertools import chain
from typing import Final

import orjson
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.timers import OverdueError, Timers
from gateway.transports.heads import header, headers_of
from gateway.transports.http import MAX_BODY_BYTES
from gateway.transports.negotiation import Accept, MediaType

BODY_TIMEOUT_S: Final = 10.0
MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 32 * 1024
MAX_TARGET_BYTES: Final = 16 * 1024
PREFLIGHT_MAX_AGE_S: Final = 600
REQUEST_HEADERS: Final = ("Authorization", "Apollo-Require-Preflight", "Last-Event-ID", "X-Request-Id")
RESPONSE_HEADERS: Final = ("ETag", "Retry-After", "WWW-Authenticate", "X-Request-Id")
CLOSE: Final = {"Connection": "close"}


class Limits:
    """Middleware that refuses heads that are too large and bodies that do not arrive.

    At most 100 headers and 32 KB of them (431), an address of at most 16 KB (414), and a body within 10 s (408): a
    client that sends a byte now and then holds nothing for long. How large a body may be is for whoever reads it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._timers = Timers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        if (refusal := _refused_head(scope)) is not None:
            await answer(scope, receive, send, refusal)
            return
        if scope["type"] == "websocket" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        try:
            arrived = await self._timers.within(BODY_TIMEOUT_S, _arrived(receive))
        except OverdueError:
            message = f"The body did not arrive within {BODY_TIMEOUT_S:g} s"
            await answer(scope, receive, send, request_error(scope, 408, message, headers=CLOSE))
            return
        await self._app(scope, _replaying(arrived, receive), send)


def cors(app: ASGIApp, allowed_origins: Collection[str]) -> ASGIApp:
    """`app` with CORS for these origins; without any, browsers allow the same origin alone.

    Credentials are bearer tokens, so cookies are never let through.
    """
    if not allowed_origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=allowed_origins,
        allow_methods=("GET", "POST"),
        allow_headers=REQUEST_HEADERS,
        expose_headers=RESPONSE_HEADERS,
        max_age=PREFLIGHT_MAX_AGE_S,
    )


def request_error(
    scope: Scope,
    status: int,
    message: str,
    *,
    code: str = "BAD_REQUEST",
    headers: Mapping[str, str] | None = None,
    extensions: Mapping[str, str] | None = None,
) -> Response:
    """A GraphQL answer with this one error and no data, in the JSON type that the caller accepts."""
    media_type = Accept.parse(header(scope, b"accept")).json or MediaType.JSON
    error = {"message": message, "extensions": {"code": code, **(extensions or {})}}
    fields = {"Content-Type": f"{media_type}; charset=utf-8", "Cache-Control": "no-store", **(headers or {})}
    return Response(orjson.dumps({"errors": [error]}), status, fields)


async def answer(scope: Scope, receive: Receive, send: Send, response: Response) -> None:
    """Send the response; to a socket in place of its handshake, or where the server cannot do that, a refusal."""
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1013})
        return
    await response(scope, receive, send)


def _refused_head(scope: Scope) -> Response | None:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_TARGET_BYTES:
        message = f"The address is longer than {MAX_TARGET_BYTES} bytes: send a POST"
        return request_error(scope, 414, message, headers=CLOSE)
    if len(headers) > MAX_HEADERS or sum(map(len, chain.from_iterable(headers))) > MAX_HEADER_BYTES:
        message = f"There are more than {MAX_HEADERS} headers, or more than {MAX_HEADER_BYTES} bytes of them"
        return request_error(scope, 431, message, headers=CLOSE)
    return None


def _has_body(scope: Scope) -> bool:
    headers = headers_of(scope)
    return b"content-length" in headers or b"transfer-encoding" in headers


async def _arrived(receive: Receive) -> deque[Message]:
    # Past the greatest size nothing more is needed to refuse the request, so no more than that is held.
    messages: deque[Message] = deque()
    size = 0
    while size <= MAX_BODY_BYTES:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body", False):
            break
    return messages


def _replaying(arrived: deque[Message], receive: Receive) -> Receive:
    async def replay() -> Message:
        return arrived.popleft() if arrived else await receive()

    return replay

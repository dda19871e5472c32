"""GraphQL over HTTP: POST, GET, persisted documents, and which status says what.

Follows the GraphQL over HTTP specification of September 2026, `294 Partial Success` included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.budgets import client_of
from gateway.execution.requests import PreparedOperation, RequestError, Result
from gateway.identity.errors import IdentityUnavailable, Unauthenticated
from gateway.identity.identities import Anonymous, Identity
from gateway.operations import STATUSES, Asked, Operations, outcome_of
from gateway.timers import Timers
from gateway.transports.disconnects import ClientGone, while_connected
from gateway.transports.heads import address_of, header, headers_of, request_id_of
from gateway.transports.negotiation import Accept, MediaType
from gateway.transports.parameters import Parameters, from_body, from_query_string
from gateway.transports.refusals import Refusal
from gateway.transports.sse import EventStreams

MAX_BODY_BYTES: Final = 1024 * 1024
PARTIAL_SUCCESS: Final = 294
ANONYMOUS_MAX_AGE_S: Final = 5
METHODS: Final = "GET, POST"
# What is wrong with a credential, or with whom it is checked, is for the client of a router too.
FOR_CLIENTS: Final = frozenset({401, 503})
NOT_STORED: Final = {"Cache-Control": "no-store"}
_FIELDS: Final = {
    media_type: [(b"content-type", f"{media_type}; charset=utf-8".encode()), (b"vary", b"Accept, Authorization")]
    for media_type in (MediaType.JSON, MediaType.GRAPHQL_RESPONSE)
}

Authenticate = Callable[[str | None], Awaitable[Identity]]


class GraphQLOverHTTP:
    """The HTTP half of the endpoint, an ASGI application.

    `authenticate` takes the `Authorization` header. `page` answers a browser's GET; without it there is no page. A
    subgraph says 200 of whatever it answers in GraphQL: of another status routers read no code.
    """

    def __init__(
        self,
        operations: Operations,
        streams: EventStreams,
        authenticate: Authenticate,
        *,
        page: ASGIApp | None = None,
        is_subgraph: bool = False,
    ) -> None:
        self._operations = operations
        self._streams = streams
        self._authenticate = authenticate
        self._page = page
        self._is_subgraph = is_subgraph
        self._timers = Timers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        accept = Accept.parse(header(scope, b"accept"))
        if self._page is not None and scope["method"] == "GET" and accept.prefers_page:
            await self._page(scope, receive, send)
            return
        media_type = accept.json or MediaType.JSON
        try:
            await self._answer(scope, receive, send, accept)
        except ClientGone:
            return
        except RequestError as error:
            body = orjson.dumps(error.result)
            is_for_router = self._is_subgraph and (not isinstance(error, Refusal) or error.status in FOR_CLIENTS)
            status = 200 if is_for_router else _status(error, media_type)
            await _send(send, media_type, status, body, NOT_STORED | error.headers)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, accept: Accept) -> None:
        method = scope["method"]
        if method not in {"GET", "POST"}:
            raise Refusal(405, f"{method} is not allowed: use POST, or GET for queries", headers={"Allow": METHODS})
        if accept.json is None and not accept.streams:
            raise Refusal(406, f"Accept one of {', '.join(MediaType)}")
        if method == "POST":
            _check_content(scope)
        asked = await self._asked(scope)
        if method == "GET":
            parameters = from_query_string(scope["query_string"])
        else:
            parameters = from_body(await _body(scope, receive))
        if accept.prefers_stream:
            await self._stream_any(parameters, asked, scope, receive, send)
            return
        prepared = await self._operations.prepare(parameters, asked)
        _check_method(method, prepared)
        if prepared.kind != "subscription":
            await self._answer_once(prepared, asked, accept, scope, receive, send)
        elif accept.streams:
            await self._stream(prepared, asked, scope, receive, send)
        else:
            raise Refusal(406, "A subscription needs Accept: text/event-stream, or a WebSocket")

    async def _asked(self, scope: Scope) -> Asked:
        try:
            identity = await self._authenticate(header(scope, b"authorization"))
        except Unauthenticated as error:
            raise Refusal(
                401, error.message, code="UNAUTHENTICATED", headers={"WWW-Authenticate": error.challenge}
            ) from None
        except IdentityUnavailable as error:
            retry = {"Retry-After": str(error.retry_after_s)}
            raise Refusal(503, error.message, code="INTERNAL", headers=retry) from None
        return Asked(identity, "http", request_id_of(scope), client_of(identity, address_of(scope)))

    async def _stream_any(
        self, parameters: Parameters, asked: Asked, scope: Scope, receive: Receive, send: Send
    ) -> None:
        asked = asked._replace(transport="sse")
        try:
            prepared = await self._operations.prepare(parameters, asked)
        except RequestError as error:
            # The protocol wants errors of the document in the stream: an EventSource can read them nowhere else.
            await self._streams.refuse(error.result, send)
            return
        _check_method(scope["method"], prepared)
        await self._stream(prepared, asked, scope, receive, send)

    async def _stream(
        self, prepared: PreparedOperation, asked: Asked, scope: Scope, receive: Receive, send: Send
    ) -> None:
        authorization = header(scope, b"authorization")
        await self._streams.answer(
            prepared, asked._replace(transport="sse"), lambda: self._authenticate(authorization), receive, send
        )

    async def _answer_once(
        self, prepared: PreparedOperation, asked: Asked, accept: Accept, scope: Scope, receive: Receive, send: Send
    ) -> None:
        media_type = accept.json or MediaType.JSON
        result = await while_connected(receive, self._operations.run(prepared, asked), self._timers)
        body = self._operations.encode(result, asked)
        if scope["method"] == "GET" and _is_public(prepared, asked, result):
            await _send_public(send, media_type, body, header(scope, b"if-none-match"))
            return
        status = 200 if self._is_subgraph else _result_status(result, media_type)
        await _send(send, media_type, status, body)


def _check_content(scope: Scope) -> None:
    # Only this type makes a browser ask first before it posts from another origin.
    content_type = header(scope, b"content-type") or ""
    if content_type != MediaType.JSON and not _is_json(content_type):
        message = f"Content-Type must be {MediaType.JSON}, and its charset utf-8"
        raise Refusal(415, message, headers={"Accept": MediaType.JSON.value})
    encoding = header(scope, b"content-encoding")
    if encoding is not None and encoding.strip().lower() != "identity":
        raise Refusal(415, "Compressed bodies are not accepted", headers={"Accept-Encoding": "identity"})


def _is_json(content_type: str) -> bool:
    name, *parameters = (part.strip() for part in content_type.lower().split(";"))
    charsets = [
        value.strip(' "') for key, _, value in (p.partition("=") for p in parameters) if key.strip() == "charset"
    ]
    return name == MediaType.JSON and all(charset in {"utf-8", "utf8"} for charset in charsets)


def _check_method(method: str, prepared: PreparedOperation) -> None:
    if method == "GET" and prepared.kind == "mutation":
        raise Refusal(405, "GET never runs a mutation: use POST", headers={"Allow": "POST"})


async def _body(scope: Scope, receive: Receive) -> bytes:
    declared = headers_of(scope).get(b"content-length", b"0")
    if declared.isdigit() and int(declared[:20]) > MAX_BODY_BYTES:
        raise _too_large()
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MAX_BODY_BYTES:
            raise _too_large()
        if not message.get("more_body", False):
            return b"".join(chunks)


def _too_large() -> Refusal:
    return Refusal(413, f"The body is larger than {MAX_BODY_BYTES // 1024} KB")


def _status(error: RequestError, media_type: MediaType) -> int:
    # Clients that know only application/json read the body of a 200 alone; what is wrong with the document is for them.
    if media_type is MediaType.JSON and error.status == 400 and not isinstance(error, Refusal):
        return 200
    return error.status


def _result_status(result: Result, media_type: MediaType) -> int:
    if "data" not in result:
        status = STATUSES.get(outcome_of(result), 400)
        return 200 if media_type is MediaType.JSON and status == 400 else status
    return PARTIAL_SUCCESS if "errors" in result and media_type is MediaType.GRAPHQL_RESPONSE else 200


def _is_public(prepared: PreparedOperation, asked: Asked, result: Result) -> bool:
    is_for_all = "errors" not in result and "extensions" not in result
    return prepared.request.persisted and isinstance(asked.identity, Anonymous) and is_for_all


async def _send_public(send: Send, media_type: MediaType, body: bytes, if_none_match: str | None) -> None:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"Cache-Control": f"public, max-age={ANONYMOUS_MAX_AGE_S}", "ETag": etag}
    if if_none_match is not None and etag in if_none_match:
        await _send(send, media_type, 304, b"", headers)
    else:
        await _send(send, media_type, 200, body, headers)


async def _send(
    send: Send, media_type: MediaType, status: int, body: bytes, headers: Mapping[str, str] = NOT_STORED
) -> None:
    fields = [*_FIELDS[media_type], (b"content-length", b"%d" % len(body))]
    fields += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})

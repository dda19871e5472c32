"""The messages of `graphql-transport-ws`: what clients may send, what this server sends, and why a socket closes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import orjson

from gateway.execution.requests import Result
from gateway.transports.parameters import MAX_JSON_DEPTH, Parameters, from_mapping, is_shallow
from gateway.transports.refusals import Refusal

PROTOCOL: Final = "graphql-transport-ws"
MAX_ID_LENGTH: Final = 128
MAX_REASON_BYTES: Final = 123

ACK: Final = b'{"type":"connection_ack"}'
PING: Final = b'{"type":"ping"}'


class CloseCode(IntEnum):
    """Why this server closes a socket. The protocol's own codes begin with 44."""

    TOO_BIG = 1009
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    SUBPROTOCOL_NOT_ACCEPTABLE = 4406
    TIMEOUT = 4408
    SUBSCRIBER_ALREADY_EXISTS = 4409
    TOO_MANY_INITIALISATION_REQUESTS = 4429
    INTERNAL_SERVER_ERROR = 4500


class Close(Exception):
    """The socket must close, with this code and reason."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")


@dataclass(frozen=True, slots=True)
class Init:
    """`connection_init`: the first message, which may carry a credential."""

    payload: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Ping:
    """`ping`: to be answered with a pong that carries the same payload."""

    payload: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Pong:
    """`pong`: the client is there."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """`subscribe`: run an operation under this id."""

    id: str
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class Complete:
    """`complete`: the client no longer listens to the operation of this id."""

    id: str


Message = Init | Ping | Pong | Subscribe | Complete


def decode(text: str) -> Message:
    """The message in a frame; raises Close (4400) for what the protocol does not have clients send."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _invalid("a frame must hold JSON") from None
    if not isinstance(message, dict):
        raise _invalid("a message must be an object")
    match message.get("type"):
        case "connection_init":
            return Init(_payload(message))
        case "ping":
            return Ping(_payload(message))
        case "pong":
            _payload(message)
            return Pong()
        case "subscribe":
            return Subscribe(_id(message), _parameters(message))
        case "complete":
            return Complete(_id(message))
        case _:
            raise _invalid("its type is not one that clients send")


def pong(payload: dict[str, Any] | None) -> bytes:
    """The answer to a ping."""
    return orjson.dumps({"type": "pong"} if payload is None else {"type": "pong", "payload": payload})


def next_result(begin: bytes, result: bytes) -> bytes:
    """`next`: a result, already JSON, of the operation that `begin` was made for."""
    return begin + result + b"}"


def beginning_of_next(id: str) -> bytes:
    """What every `next` of the operation `id` begins with."""
    return b'{"id":' + orjson.dumps(id) + b',"type":"next","payload":'


def error(id: str, errors: list[Result]) -> bytes:
    """`error`: the operation ended without a result."""
    return orjson.dumps({"id": id, "type": "error", "payload": errors})


def complete(id: str) -> bytes:
    """`complete`: the operation sent all its results."""
    return orjson.dumps({"id": id, "type": "complete"})


def _id(message: dict[str, Any]) -> str:
    id = message.get("id")
    if not isinstance(id, str) or not 0 < len(id) <= MAX_ID_LENGTH:
        raise _invalid(f"its id must be a string of 1 to {MAX_ID_LENGTH} characters")
    return id


def _payload(message: dict[str, Any]) -> dict[str, Any] | None:
    payload = message.get("payload")
    if payload is not None and not isinstance(payload, dict):
        raise _invalid("its payload must be an object")
    if payload is not None and not is_shallow(payload):
        raise _invalid(f"its payload is nested more than {MAX_JSON_DEPTH} deep")
    return payload


def _parameters(message: dict[str, Any]) -> Parameters:
    payload = message.get("payload")
    if not isinstance(payload, dict):
        raise _invalid("its payload must be an object")
    try:
        return from_mapping(payload)
    except Refusal as refusal:
        raise _invalid(refusal.message) from None


def _invalid(why: str) -> Close:
    return Close(CloseCode.BAD_REQUEST, f"Invalid message: {why}")

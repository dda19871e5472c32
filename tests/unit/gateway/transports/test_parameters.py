"""Whatever bytes or JSON arrive, they are a request or a refusal, never a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.transports.negotiation import Accept, MediaType
from gateway.transports.parameters import NAMES, Parameters, from_body, from_query_string
from gateway.transports.refusals import Refusal
from gateway.transports.websocket.messages import (
    MAX_REASON_BYTES,
    Close,
    CloseCode,
    Complete,
    Init,
    Message,
    Ping,
    Pong,
    Subscribe,
    decode,
)

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
BODIES = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JSON))
TYPES = st.sampled_from(["connection_init", "ping", "pong", "subscribe", "complete", "next", "start"])


def encoded(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)


Outcome = Parameters | Refusal


def outcome(read: Callable[[bytes], Parameters], body: bytes) -> Outcome:
    try:
        return read(body)
    except Refusal as refusal:
        return refusal


def check(outcome: Outcome) -> None:
    if isinstance(outcome, Refusal):
        assert (outcome.status, outcome.code) == (400, "BAD_REQUEST")
    else:
        assert outcome.query is not None or outcome.document_id is not None
        assert isinstance(outcome.variables, dict)
        assert isinstance(outcome.extensions, dict)


@given(BODIES | JSON)
def test_any_json_is_a_request_or_refused(value: Any) -> None:
    check(outcome(from_body, encoded(value)))


@given(st.binary())
def test_any_bytes_are_a_request_or_refused(body: bytes) -> None:
    check(outcome(from_body, body))
    check(outcome(from_query_string, body))


@given(
    st.fixed_dictionaries({}, optional={"type": TYPES | JSON, "id": st.text() | JSON, "payload": BODIES | JSON}) | JSON
)
def test_any_message_is_of_the_protocol_or_closes_with_4400(value: Any) -> None:
    message: Message | Close
    try:
        message = decode(encoded(value).decode())
    except Close as close:
        message = close

    if isinstance(message, Close):
        assert message.code is CloseCode.BAD_REQUEST
        assert len(message.reason.encode()) <= MAX_REASON_BYTES
    else:
        assert isinstance(message, Init | Ping | Pong | Subscribe | Complete)


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_any_accept_header_can_be_read(header: str) -> None:
    assert Accept.parse(header).json in {None, MediaType.JSON, MediaType.GRAPHQL_RESPONSE}

"""The log says what happened to a request, and nothing of who asked with which secret for what."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog
from pymongo.errors import AutoReconnect
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.access import Access
from gateway.drain import Drain
from gateway.logs import (
    MAX_TEXT_LENGTH,
    MAX_WAITING_LINES,
    configure_logs,
    log_request,
    remove_secrets,
    request_id,
)
from gateway.metrics import Metrics
from gateway.settings import LogFormat, LogLevel
from gateway.transports.limits import Limits
from tests.unit.gateway.servers import serving

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
PARTNER_KEY = "agora_pk_01ARZ3NDEKTSV4RRFFQ69G5FAV_" + "a" * 49
SIGNING_SECRET = "whsec_" + "c2VjcmV0" * 5 + "+/=="
PASSWORD = "hunter2-of-the-database"
LITERAL = "a-love-letter"
SECRETS = (JWT, PARTNER_KEY, SIGNING_SECRET, PASSWORD, LITERAL)


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    others = {name: logging.getLogger(name).level for name in ("httpx", "httpcore", "pymongo", "uvicorn.access")}
    yield
    root.handlers[:], root.level = handlers, level
    for name, before in others.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def careless(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that quotes all it was sent in an exception."""
    message = await receive()
    try:
        raise ValueError(f"cannot read {scope['headers']!r} {message['body']!r}")
    except ValueError as error:
        raise RuntimeError(f"{scope['query_string']!r}") from error


@pytest.mark.parametrize("level", [LogLevel.INFO, LogLevel.WARNING])
async def test_a_request_that_carries_secrets_leaves_none_in_the_log(level: LogLevel) -> None:
    stream = io.StringIO()
    configure_logs(level, LogFormat.JSON, stream)

    async with serving(Access(Limits(careless), Drain(), Metrics())) as address, httpx.AsyncClient() as client:
        answer = await client.post(
            f"http://{address}/graphql?query=%7B{LITERAL}%7D&token={JWT}",
            headers={"Authorization": f"Bearer {PARTNER_KEY}", "Cookie": PASSWORD, "X-Request-Id": "from-the-client"},
            json={"query": f'{{ search(text: "{LITERAL}") }}', "variables": {"password": PASSWORD}},
        )

    failure = next(line for line in written(stream) if line["event"] == "request_failed")
    assert not [secret for secret in SECRETS if secret in stream.getvalue()]
    assert failure["request_id"] == answer.headers["X-Request-Id"] == "from-the-client"
    assert [cause["type"] for cause in failure["error"]] == ["RuntimeError", "ValueError"]
    assert "careless" in failure["error"][0]["frames"][-1]
    assert answer.json()["errors"][0]["extensions"] == {"code": "INTERNAL", "requestId": "from-the-client"}


async def test_one_line_for_each_request_and_none_for_probes() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    stream = io.StringIO()
    configure_logs(LogLevel.INFO, LogFormat.JSON, stream)
    async with serving(Access(app, Drain(), Metrics())) as address, httpx.AsyncClient() as client:
        await client.get(f"http://{address}/graphql?query={LITERAL}")
        await client.get(f"http://{address}/livez")

    lines = [line for line in written(stream) if line["logger"] == "gateway.access"]
    assert len(lines) == 1
    assert lines[0]["method"] == "GET"
    assert lines[0]["path"] == "/graphql"
    assert lines[0]["status"] == 204
    assert lines[0]["duration_ms"] >= 0
    assert lines[0]["at"].endswith("Z")
    assert LITERAL not in stream.getvalue()


class Pieces(io.StringIO):
    """A stream that counts how often it is written to."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


def ours_alone() -> None:
    """Lines of requests take the short way where no other handler wants them, as pytest's does."""
    root = logging.getLogger()
    root.handlers = root.handlers[-1:]


def answer(number: int) -> None:
    log_request("POST", 200, "/graphql", 1.5, f"request-{number:04}", is_probe=False)


async def test_requests_of_one_turn_of_the_loop_are_written_in_one_piece() -> None:
    stream = Pieces()
    configure_logs(LogLevel.INFO, LogFormat.JSON, stream)
    ours_alone()

    for number in range(MAX_WAITING_LINES - 1):
        answer(number)
    assert stream.writes == 0
    await asyncio.sleep(0)

    assert stream.writes == 1
    assert [line["request_id"] for line in written(stream)] == [f"request-{at:04}" for at in range(99)]
    line = written(stream)[0]
    del line["request_id"], line["at"]
    assert line == {
        "method": "POST",
        "status": 200,
        "path": "/graphql",
        "duration_ms": 1.5,
        "event": "request",
        "level": "info",
        "logger": "gateway.access",
    }


async def test_not_more_lines_wait_than_the_limit() -> None:
    stream = Pieces()
    configure_logs(LogLevel.INFO, LogFormat.JSON, stream)
    ours_alone()

    for number in range(MAX_WAITING_LINES):
        answer(number)

    assert len(written(stream)) == MAX_WAITING_LINES


async def test_other_records_come_after_what_waits() -> None:
    stream = Pieces()
    configure_logs(LogLevel.INFO, LogFormat.JSON, stream)
    ours_alone()

    answer(1)
    structlog.get_logger("gateway.test").warning("in between")
    answer(2)
    logging.shutdown([lambda: logging.getLogger().handlers[0]])  # as at the exit

    assert [line.get("request_id", line["event"]) for line in written(stream)] == [
        "request-0001",
        "in between",
        "request-0002",
    ]


async def test_a_stream_that_is_broken_does_not_reach_whoever_logs(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    configure_logs(LogLevel.INFO, LogFormat.JSON, Broken())
    ours_alone()
    log_request("POST", 200, "/graphql", 1.5, "request-0001", is_probe=False)

    structlog.get_logger("gateway.test").warning("nobody reads this")

    assert "BrokenPipeError" in capsys.readouterr().err


async def test_lines_of_several_threads_are_whole() -> None:
    stream = Pieces()
    configure_logs(LogLevel.INFO, LogFormat.JSON, stream)
    ours_alone()

    def warn() -> None:
        for _ in range(300):
            structlog.get_logger("gateway.test").warning("from a thread")

    threads = [asyncio.to_thread(warn) for _ in range(2)]
    writing = asyncio.gather(*threads)
    for number in range(2_000):
        answer(number)
        if number % 7 == 0:
            await asyncio.sleep(0)
    await writing
    await asyncio.sleep(0)

    lines = written(stream)
    assert [line["request_id"] for line in lines if "request_id" in line] == [f"request-{at:04}" for at in range(2_000)]
    assert len(lines) == 2_600


@pytest.mark.parametrize("format", list(LogFormat))
def test_credentials_are_cut_out_of_any_text(format: LogFormat) -> None:
    stream = io.StringIO()
    configure_logs(LogLevel.DEBUG, format, stream)

    log = structlog.get_logger("gateway.test")
    log.info(
        f"Bearer {PASSWORD}",
        text=f"key {PARTNER_KEY}, {SIGNING_SECRET}",
        deep={"list": [f"token {JWT}"], "password": PASSWORD},
    )
    log.info("connecting", address=f"mongodb://gateway:{PASSWORD}@db.example.org/agora", variables={"text": LITERAL})
    logging.getLogger("library").warning("sent %s", f"Authorization: bearer {JWT}")

    assert not [secret for secret in SECRETS if secret in stream.getvalue()]
    assert "db.example.org" in stream.getvalue()
    assert stream.getvalue().count("[removed]") == 8


def test_the_text_of_an_exception_is_for_debugging_alone() -> None:
    texts = {}
    for level in (LogLevel.INFO, LogLevel.DEBUG):
        stream = io.StringIO()
        configure_logs(level, LogFormat.JSON, stream)
        try:
            raise LookupError("what somebody sent")
        except LookupError:
            structlog.get_logger("gateway.test").exception("failed")
        texts[level] = stream.getvalue()

    assert "what somebody sent" not in texts[LogLevel.INFO]
    assert "what somebody sent" in texts[LogLevel.DEBUG]


def test_a_database_that_is_away_is_one_line_for_people() -> None:
    stream = io.StringIO()
    configure_logs(LogLevel.INFO, LogFormat.CONSOLE, stream)

    for error in (AutoReconnect("connection closed\nand much more"), TimeoutError(), LookupError("ours")):
        try:
            raise error
        except Exception as raised:
            structlog.get_logger("gateway.test").warning("a chore failed", exc_info=raised)

    away, late, *ours = stream.getvalue().splitlines()
    assert "AutoReconnect: connection closed" in away
    assert "TimeoutError" in late
    assert "Traceback" in "".join(ours)
    assert "much more" not in stream.getvalue()


def test_libraries_that_quote_commands_stay_quiet_even_at_debug() -> None:
    stream = io.StringIO()
    configure_logs(LogLevel.DEBUG, LogFormat.JSON, stream)

    logging.getLogger("pymongo.command").debug(LITERAL)
    logging.getLogger("httpx").info(LITERAL)
    logging.getLogger("uvicorn.access").info(LITERAL)
    logging.getLogger("uvicorn.error").info('%s - "WebSocket %s" [accepted]', "127.0.0.1", f"/graphql?token={LITERAL}")
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)

    assert [line["event"] for line in written(stream)] == ["Started server process [7]"]


async def test_a_frame_that_is_no_text_leaves_no_line() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    stream = io.StringIO()
    configure_logs(LogLevel.INFO, LogFormat.JSON, stream)
    async with serving(app) as address, connect(f"ws://{address}/graphql", compression=None) as socket:
        await socket.send(b"\xff\xfe\xfd", text=True)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1007
    assert [line for line in written(stream) if line["level"] != "info"] == []


def test_a_second_configuration_replaces_the_first() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logs(LogLevel.INFO, LogFormat.JSON, first)
    configure_logs(LogLevel.WARNING, LogFormat.JSON, second)

    structlog.get_logger("gateway.test").info("quiet")
    structlog.get_logger("gateway.test").warning("loud")

    assert first.getvalue() == ""
    assert [line["event"] for line in written(second)] == ["loud"]


def test_what_json_cannot_say_is_written_all_the_same() -> None:
    stream = io.StringIO()
    configure_logs(LogLevel.INFO, LogFormat.JSON, stream)

    structlog.get_logger("gateway.test").info("odd", half="\ud800", large=2**70, thing=object, line="a\nb")

    assert stream.getvalue().count("\n") == 1
    assert written(stream)[0]["large"] == 2**70


def test_a_text_has_a_greatest_length() -> None:
    event = remove_secrets(None, "info", {"event": "x" * 10_000})

    assert len(event["event"]) == MAX_TEXT_LENGTH


@pytest.mark.parametrize(
    "given",
    [None, "", "short", "x" * 65, "with space", "a\nb-c-d-e-f", "id=<script>", "ü" * 10, f"key.{PARTNER_KEY[:50]}"],
)
def test_a_request_id_that_makes_no_sense_is_replaced(given: str | None) -> None:
    made = request_id(given)

    assert made != given
    assert made.startswith("req_")


def test_a_request_id_that_makes_sense_is_kept() -> None:
    assert request_id("2f1c9b5e-8a00-4c53.trace_1") == "2f1c9b5e-8a00-4c53.trace_1"

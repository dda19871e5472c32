"""How logs are written: one line a record, with the request's id, and without secrets or what people asked for."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, TextIO

import orjson
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from datastores.ids import new_id
from datastores.mongo import is_away
from gateway.metrics import HTTP_METHODS
from gateway.settings import LogFormat, LogLevel

MAX_TEXT_LENGTH: Final = 2_000
MAX_FRAMES: Final = 30
MAX_CAUSES: Final = 5
MAX_AWAY_LENGTH: Final = 200
MAX_WAITING_LINES: Final = 100
REMOVED: Final = "[removed]"
ACCESS: Final = "gateway.access"
# The path of nearly all requests, in which there is nothing to look for.
ENDPOINT: Final = "/graphql"
_access_log = structlog.get_logger(ACCESS)
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")

# Fields that would carry a credential or what somebody asked for: nobody should log them, and one day somebody will.
_PRIVATE_FIELDS: Final = frozenset(
    {
        "authorization",
        "body",
        "cookie",
        "document",
        "password",
        "payload",
        "query",
        "secret",
        "token",
        "uri",
        "variables",
    }
)
_CREDENTIALS: Final = re.compile(
    r"""(?ix)
    agora_pk_[0-9a-z_]+                                # a partner's key
    | whsec_[0-9a-z+/=]+                               # a secret that signs webhooks
    | \beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?                 # a JSON Web Token
    | \bbearer\s+[^\s"']+
    | (?<=://)[^/\s@]*:[^/\s]*@                        # a name and password within an address
    """
)
# Libraries that quote commands, documents or addresses with their queries, at the level where they begin to.
_QUIET: Final[Mapping[str, int]] = {
    "httpcore": logging.WARNING,
    "httpx": logging.WARNING,
    "motor": logging.WARNING,
    "pymongo": logging.WARNING,
    "strawberry": logging.CRITICAL,
    "uvicorn.access": logging.CRITICAL,
    "websockets": logging.WARNING,
}


def configure_logs(level: LogLevel, format: LogFormat, stream: TextIO | None = None) -> None:
    """Send every record of the process to `stream` (standard error by default), uvicorn's and other libraries' too.

    The texts of exceptions may quote what people sent, so JSON holds them at the level `debug` alone.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _lines_of_exceptions if format is LogFormat.CONSOLE else _exceptions(with_texts=level is LogLevel.DEBUG),
        remove_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = _Handler(stream or sys.stderr)
    handler.is_json = format is LogFormat.JSON
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(format)],
        )
    )
    handler.addFilter(_is_worth_a_line)
    _take_over(handler, threshold)


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, to be told from those that a test runner or an embedding program has put there."""

    is_json = False

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []

    def write_soon(self, line: str) -> None:
        """Write a line that is complete, its end too, once the loop has done what is ready now.

        Lines of requests that are answered in one turn of the loop go out in one piece; at most 100 wait.
        """
        with self.lock or nullcontext():
            self._lines.append(line)
            waiting = len(self._lines)
        if waiting == 1:
            asyncio.get_running_loop().call_soon(self.flush)
        elif waiting >= MAX_WAITING_LINES:
            self.flush()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, after what was to be written before it."""
        try:
            self._write_lines()
        except Exception:
            self.handleError(record)
        super().emit(record)

    def flush(self) -> None:
        """Write what waits; called at the exit of the process too."""
        with self.lock or nullcontext():
            self._write_lines()
        super().flush()

    def _write_lines(self) -> None:
        if self._lines:
            lines, self._lines = self._lines, []
            self.stream.write("".join(lines))


def log_request(method: str, status: int, path: str, duration_ms: float, request_id: str, *, is_probe: bool) -> None:
    """The line of one request, at the level `debug` for a probe: as structlog would write it, for a tenth of its work.

    `path` may be what a client sent; `request_id` is one that `request_id` has let through. To be called in a running
    loop.
    """
    root = logging.getLogger()
    level = logging.DEBUG if is_probe else logging.INFO
    handler = next((each for each in root.handlers if isinstance(each, _Handler)), None)
    if handler is None or not handler.is_json or len(root.handlers) > 1:
        write = _access_log.debug if is_probe else _access_log.info
        write("request", method=method, status=status, path=path, duration_ms=duration_ms)
    elif root.isEnabledFor(level):
        record = {
            "method": method if method in HTTP_METHODS else _cleaned(method),
            "status": status,
            "path": path if path == ENDPOINT else _cleaned(path),
            "duration_ms": duration_ms,
            "event": "request",
            "request_id": request_id,
            "level": "debug" if is_probe else "info",
            "logger": ACCESS,
            "at": datetime.now(UTC),
        }
        handler.write_soon(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z).decode())


def request_id(given: str | None) -> str:
    """The id that a client or proxy gave, if it is 8 to 64 of `A-Z a-z 0-9 . _ -` and no credential; else a new one."""
    if given is None or not _REQUEST_ID.fullmatch(given) or _CREDENTIALS.search(given):
        return new_id("req")
    return given


def remove_secrets(logger: WrappedLogger | None, method: str, event: EventDict) -> EventDict:
    """The record without credentials, with texts of at most 2,000 characters; a processor of structlog."""
    for name, value in event.items():
        event[name] = REMOVED if name.lower() in _PRIVATE_FIELDS else _cleaned(value)
    return event


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return _CREDENTIALS.sub(REMOVED, value[:MAX_TEXT_LENGTH])
    if isinstance(value, Mapping):
        return {name: REMOVED if str(name).lower() in _PRIVATE_FIELDS else _cleaned(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(part) for part in value]
    return value


def _exceptions(*, with_texts: bool) -> Processor:
    def render(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        error = _error(event.pop("exc_info", None))
        if error is not None:
            event["error"] = _described(error, with_texts=with_texts)
        return event

    return render


def _lines_of_exceptions(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    error = _error(event.pop("exc_info", None))
    if error is not None and (is_away(error) or isinstance(error, TimeoutError)):
        # While the database is away, everybody says so every few seconds.
        event["error"] = f"{type(error).__name__}: {error}".partition("\n")[0][:MAX_AWAY_LENGTH].rstrip(": ")
    elif error is not None:
        event["exception"] = "".join(traceback.format_exception(error, limit=-MAX_FRAMES)).rstrip()
    return event


def _error(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple) and len(exc_info) == 3 and isinstance(exc_info[1], BaseException):
        return exc_info[1]
    return sys.exc_info()[1] if exc_info else None


def _described(error: BaseException, *, with_texts: bool) -> list[dict[str, object]]:
    causes: list[dict[str, object]] = []
    cause: BaseException | None = error
    while cause is not None and len(causes) < MAX_CAUSES:
        described: dict[str, object] = {"type": type(cause).__qualname__, "frames": _frames(cause.__traceback__)}
        causes.append(described | ({"text": str(cause)} if with_texts else {}))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return causes


def _frames(trace: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trace)[-MAX_FRAMES:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def _renderer(format: LogFormat) -> Processor:
    if format is LogFormat.JSON:
        return structlog.processors.JSONRenderer(serializer=_json)
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)


def _json(record: Any, **options: Any) -> str:
    try:
        return orjson.dumps(record, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Half a character or a number beyond 64 bits: the standard library writes both.
        return json.dumps(record, default=str)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    # Uvicorn writes the address of a socket with its query, where the line of our own has the path alone; and a trace
    # for a frame that is no text, which any client may send, and which closes its socket with 1007.
    text = str(record.msg)
    return not (record.name == "uvicorn.error" and ('"WebSocket ' in text or text.startswith("Invalid UTF-8")))


def _take_over(handler: _Handler, threshold: int) -> None:
    root = logging.getLogger()
    root.handlers = [other for other in root.handlers if not isinstance(other, _Handler)]
    root.addHandler(handler)
    root.setLevel(threshold)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, threshold))

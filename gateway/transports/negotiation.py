"""Which media type an answer takes, by the `Accept` header (RFC 9110, 12.5.1) and GraphQL over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

MAX_RANGES: Final = 50
# Clients send the same few headers: what they mean is found out once.
MAX_REMEMBERED: Final = 256
MAX_REMEMBERED_LENGTH: Final = 256


class MediaType(StrEnum):
    """What this server can answer with."""

    GRAPHQL_RESPONSE = "application/graphql-response+json"
    JSON = "application/json"
    EVENT_STREAM = "text/event-stream"
    HTML = "text/html"


@dataclass(frozen=True, slots=True)
class Accept:
    """What a client takes.

    `json` is the JSON type for one answer, None where the client takes neither; `streams` whether it takes an event
    stream; `prefers_stream` whether even a single result goes into one; `prefers_page` whether a person with a browser
    asks.
    """

    json: MediaType | None
    streams: bool
    prefers_stream: bool
    prefers_page: bool

    @classmethod
    def parse(cls, header: str | None) -> Accept:
        """What a header asks for; absent or empty is `*/*`. Ranges past the 50th and unreadable ones are ignored."""
        if header is None or not header.strip():
            return _remembered("*/*")
        return _remembered(header) if len(header) <= MAX_REMEMBERED_LENGTH else _decided(header)


def _decided(header: str) -> Accept:
    wanted = _ranges(header)
    response = wanted.get(MediaType.GRAPHQL_RESPONSE, 0.0)
    plain = next((wanted[name] for name in (MediaType.JSON, "application/*", "*/*") if name in wanted), 0.0)
    # The newer type must be asked for by name: clients that say `*/*` or nothing may be older than it.
    json = MediaType.GRAPHQL_RESPONSE if response and response >= plain else MediaType.JSON if plain else None
    # `*/*` is no wish for an answer that does not end.
    stream = wanted.get(MediaType.EVENT_STREAM, 0.0)
    once = max(response, plain)
    return Accept(json, stream > 0, stream > once, wanted.get(MediaType.HTML, 0.0) > once)


_remembered = lru_cache(maxsize=MAX_REMEMBERED)(_decided)


def _ranges(header: str) -> dict[str, float]:
    """How much each media range is wanted, from 0 (never) to 1."""
    ranges: dict[str, float] = {}
    for part in header.lower().split(",", MAX_RANGES)[:MAX_RANGES]:
        name, *parameters = (piece.strip() for piece in part.split(";"))
        if (quality := _quality(parameters)) is not None and "/" in name:
            ranges[name] = max(quality, ranges.get(name, 0.0))
    return ranges


def _quality(parameters: list[str]) -> float | None:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return None
            return quality if 0 <= quality <= 1 else None
    return 1.0

"""Which media type an answer takes, by the `Accept` header (RFC 9110, 12.5.1) and GraphQL over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_RANGES: Final = 50


class MediaType(StrEnum):
    """What this server can answer with."""

    GRAPHQL_RESPONSE = "application/graphql-response+json"
    JSON = "application/json"
    EVENT_STREAM = "text/event-stream"
    HTML = "text/html"


@dataclass(frozen=True, slots=True)
class Accept:
    """How much a client wants each media range, from 0 (never) to 1."""

    ranges: Mapping[str, float]

    @classmethod
    def parse(cls, header: str | None) -> Accept:
        """What a header asks for; absent or empty is `*/*`. Ranges past the 50th and unreadable ones are ignored."""
        if header is None or not header.strip():
            return _ANYTHING
        ranges: dict[str, float] = {}
        for part in header.lower().split(",", MAX_RANGES)[:MAX_RANGES]:
            name, *parameters = (piece.strip() for piece in part.split(";"))
            if (quality := _quality(parameters)) is not None and "/" in name:
                ranges[name] = max(quality, ranges.get(name, 0.0))
        return cls(ranges)

    def quality(self, media_type: MediaType) -> float:
        """How much `media_type` is wanted; the most specific range decides."""
        family = media_type.partition("/")[0]
        for name in (media_type.value, f"{family}/*", "*/*"):
            if name in self.ranges:
                return self.ranges[name]
        return 0.0

    def named(self, media_type: MediaType) -> float:
        """How much `media_type` is wanted by its own name, wildcards aside."""
        return self.ranges.get(media_type.value, 0.0)

    @property
    def json(self) -> MediaType | None:
        """The JSON type for one answer; None where the client takes neither.

        `application/graphql-response+json` must be asked for by name: clients that say `*/*` or nothing may be older
        than it.
        """
        response, plain = self.named(MediaType.GRAPHQL_RESPONSE), self.quality(MediaType.JSON)
        if response and response >= plain:
            return MediaType.GRAPHQL_RESPONSE
        return MediaType.JSON if plain else None

    @property
    def streams(self) -> bool:
        """Whether the client takes an event stream. `*/*` is no wish for an answer that does not end."""
        return self.named(MediaType.EVENT_STREAM) > 0

    @property
    def prefers_stream(self) -> bool:
        """Whether even a single result goes into an event stream: only where JSON is wanted less."""
        wanted = max(self.named(MediaType.GRAPHQL_RESPONSE), self.quality(MediaType.JSON))
        return self.named(MediaType.EVENT_STREAM) > wanted

    @property
    def prefers_page(self) -> bool:
        """Whether a person with a browser asks."""
        wanted = max(self.named(MediaType.GRAPHQL_RESPONSE), self.quality(MediaType.JSON))
        return self.named(MediaType.HTML) > wanted


_ANYTHING: Final = Accept({"*/*": 1.0})


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

"""Streams that several hear together: what all hearers may see, who is told of which event, and where the past ends."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Literal

DELIVERY: Final = "delivery"

# WHOLE: from the cursor on, first what is written, then what is live. PAST: what is written, then CaughtUpError.
# LIVE: from now on, whatever the cursor says.
Part = Literal["whole", "past", "live"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """Under `DELIVERY` in an event's document: its place in the stream, and which of the hearers are told of it.

    `place` is the number of the row that it comes from; None where it takes none, is told live only, and is superseded
    by the next one of the same `key`. `to` are the only ones to be told, None for all; `without` is not told. From
    `leaves` on, that person hears nothing unless they are let in anew. Where `is_told` is False there is nothing to
    show: only somebody leaves.
    """

    place: int | None = None
    key: Hashable = None
    to: frozenset[str] | None = None
    without: str | None = None
    leaves: str | None = None
    is_told: bool = True

    def is_for(self, user_id: str | None) -> bool:
        """Whether this person is told of the event."""
        is_left_out = self.without is not None and user_id == self.without
        return self.is_told and not is_left_out and (self.to is None or user_id in self.to)


def _ignore(_place: int) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Listening:
    """How a context follows streams: which part of them, from which cursor where one begins again, and who is told.

    `on_live` is called whenever all that was written is read, and every row past the number that it gets will come.
    """

    part: Part = "whole"
    cursor: str | None = None
    on_live: Callable[[int], None] = _ignore


WHOLE: Final = Listening()


class CaughtUpError(Exception):
    """All that is written has been told: up to `place`, which is `cursor` for clients; None where nothing is kept."""

    def __init__(self, place: int | None = None, cursor: str | None = None) -> None:
        super().__init__(place, cursor)
        self.place = place
        self.cursor = cursor

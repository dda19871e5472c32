"""Identities that have ended because their person was erased: their older tokens are refused in every process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from gateway.identity.errors import IdentityUnavailable, PersonEnded
from gateway.identity.identities import Person

REFRESHED_S: Final = 5.0
# Clocks of processes differ, and what was noted earlier may be committed later.
OVERLAP: Final = timedelta(minutes=10)

ReadEnded = Callable[[datetime | None], Awaitable[Sequence[tuple[str, datetime]]]]
"""The digests of the identities that ended since then (None: of all that are still known), and when."""

_log = structlog.get_logger(__name__)


class EndedIdentities:
    """Knows every identity that ended lately, at most 5 s late: one read every 5 s, however many people ask."""

    def __init__(
        self,
        read: ReadEnded,
        digest: Callable[[str, str], str],
        *,
        refreshed_s: float = REFRESHED_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._digest = digest
        self._refreshed_s = refreshed_s
        self._clock = clock
        self._ended: dict[str, datetime] = {}
        self._newest: datetime | None = None
        self._fresh_until: float | None = None
        self._reading = asyncio.Lock()

    async def check(self, person: Person) -> None:
        """Raise PersonEnded where the token of this person is from before their end.

        Raises IdentityUnavailable where it cannot be told.
        """
        if self._fresh_until is None or self._clock() >= self._fresh_until:
            await self._refresh()
        if not self._ended:
            return
        ended_at = self._ended.get(self._digest(person.issuer, person.subject))
        if ended_at is None:
            return
        if person.issued_at is None or person.issued_at <= ended_at.replace(tzinfo=UTC).timestamp():
            raise PersonEnded("This person has been erased: sign in again to begin anew")

    async def _refresh(self) -> None:
        async with self._reading:
            if self._fresh_until is not None and self._clock() < self._fresh_until:
                return
            try:
                found = await self._read(None if self._newest is None else self._newest - OVERLAP)
            except Exception as error:
                if self._fresh_until is None:
                    raise IdentityUnavailable("The access token cannot be checked now: try again") from error
                # What is known stays known: whatever is asked next will say that the database is away.
                _log.warning("ended_identities_not_read", exc_info=error)
                found = ()
            for digest, ended_at in found:
                self._ended[digest] = max(ended_at, self._ended.get(digest, ended_at))
                self._newest = max(ended_at, self._newest or ended_at)
            self._fresh_until = self._clock() + self._refreshed_s

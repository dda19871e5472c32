"""Turns: which process may try next while several contend for one head; a hint for speed that no promise rests on."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from pymongo.errors import PyMongoError

from datastores import leases
from datastores.mongo import Database

TURN_S: Final = 0.2
# Longer than a turn, so that a process that ends in the middle of a batch does not let two others in.
LEASE_S: Final = 1.0
MAX_WAIT_S: Final = 2.0
LOSSES: Final = 2
REMEMBERED_S: Final = 10.0
_POLL_S: Final = 0.015
_YIELD_S: Final = 0.03
_GRACE_S: Final = 0.004


@dataclass(slots=True)
class Turns:
    """The turns of one process at one loop's head.

    Costs nothing until batches lose against another process; then each works for 0.2 s at a time and waits for its
    next turn, at most 2 s, where all would otherwise throw most of their work away.
    """

    database: Database
    name: str
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    owner: str = field(default_factory=lambda: uuid4().hex)
    _contended_until: float = 0.0
    _turn_ends: float | None = None

    def lost(self, attempt: int) -> None:
        """A batch has lost against another process, for the `attempt`th time."""
        if attempt >= LOSSES:
            self._contended_until = self.clock() + REMEMBERED_S

    async def wait(self) -> None:
        """Return when it is this process's turn, or when it has waited long enough."""
        now = self.clock()
        if self._turn_ends is not None:
            if now < self._turn_ends:
                return
            await self.end()
            await asyncio.sleep(_YIELD_S)
        if now > self._contended_until:
            return
        while self.clock() < now + MAX_WAIT_S:
            try:
                lease = await leases.acquire(self.database, self._lease, self.owner, LEASE_S)
            except PyMongoError:
                return
            if lease is not None:
                self._turn_ends = self.clock() + TURN_S
                return
            self._contended_until = self.clock() + REMEMBERED_S
            await asyncio.sleep(_POLL_S * (0.5 + self.jitter()))

    async def pause(self, has_more: Callable[[], bool]) -> None:
        """End the turn unless there is more to do within some milliseconds: who was just answered asks again soon."""
        if self._turn_ends is None or has_more():
            return
        await asyncio.sleep(_GRACE_S)
        if not has_more():
            await self.end()

    async def end(self) -> None:
        """Let others go on: the turn is over, or there is nothing to do."""
        if self._turn_ends is None:
            return
        self._turn_ends = None
        try:
            await leases.release(self.database, self._lease, self.owner)
        except PyMongoError:
            return

    @property
    def _lease(self) -> str:
        return f"turn/{self.name}"

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

from .handover import Handover

TURN_S: Final = 0.3
# Longer than a turn, so that a process that ends in the middle of a batch does not let two others in.
LEASE_S: Final = 1.0
# For so long after its end a turn goes on while the lease is asked for anew.
RENEWAL_S: Final = 0.3
MAX_WAIT_S: Final = 2.0
REMEMBERED_S: Final = 10.0
LOOK_INTERVAL_S: Final = 0.1
_POLL_S: Final = 0.015
_YIELD_S: Final = 0.03
_GRACE_S: Final = 0.004


@dataclass(slots=True)
class Turns:
    """The turns of one process at one loop's head.

    Costs ten reads a second, while it is busy, until batches lose against another process. Then one process has the
    turn, for as long as nobody who cannot reach it wants it, and the others of its machine hand their acts over to it.
    Processes of other machines wait for a turn of their own, at most 2 s, and each has 0.3 s at a time, where all would
    otherwise throw most of their work away. Who always wins, with small batches against large ones, learns by those
    reads that another has the turn.
    """

    database: Database
    name: str
    handover: Handover | None = None
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    owner: str = field(default_factory=lambda: uuid4().hex)
    _contended_until: float = 0.0
    _turn_ends: float | None = None
    _is_wanted: bool = False
    _host: str | None = None
    _renewal: asyncio.Task[bool] | None = None
    _look: asyncio.Task[None] | None = None
    _looks_at: float = 0.0
    _waited_at: float = 0.0

    def lost(self) -> None:
        """A batch has lost against another process."""
        self._contended_until = self.clock() + REMEMBERED_S

    async def wait(self) -> str | None:
        """Return when it is this process's turn, or when it has waited long enough.

        Where another process of this machine has the turn, return at once with the address to hand acts over to.
        """
        now = self.clock()
        if self._turn_ends is not None:
            if now < self._turn_ends:
                return None
            if self._is_wanted:
                await self.end()
                await asyncio.sleep(_YIELD_S)
            elif self.handover is not None and self.handover.has_guests:
                self._contended_until = now + REMEMBERED_S
                if now < self._turn_ends + RENEWAL_S:
                    # The lease lasts longer than the turn: it is asked for anew beside the next batch.
                    self._renew()
                    return None
        if now > self._contended_until:
            self._turn_ends = self._host = None
            self._look_around(now)
            return None
        return self._host or await self._contend(now)

    def host_answered(self, *, is_shared: bool) -> None:
        """Who has the turn has committed what was handed over; alone there is no reason to go on handing over."""
        if is_shared:
            self._contended_until = self.clock() + REMEMBERED_S
        else:
            self.leave_host()

    def leave_host(self) -> None:
        """Go on without who had the turn, whose lease says nothing any more."""
        self._host = None
        self._contended_until = 0.0
        self._looks_at = self.clock() + LEASE_S

    @property
    def is_shared(self) -> bool:
        """Whether others hand over to this process."""
        return self.handover is not None and self.handover.has_guests

    async def pause(self, has_more: Callable[[], bool]) -> None:
        """Between two batches: let those who were just answered ask again, and end the turn where nobody does."""
        if self.handover is not None and self.is_shared:
            await self.handover.gather_guests()
        elif self._turn_ends is not None and self._is_wanted and not has_more():
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

    def _look_around(self, now: float) -> None:
        """Look beside the next batch whether another has the turn, for the batch after it, while there are many."""
        if now - self._waited_at > LOOK_INTERVAL_S:
            self._looks_at = max(self._looks_at, now + LOOK_INTERVAL_S)
        self._waited_at = now
        if now >= self._looks_at and (self._look is None or self._look.done()):
            self._looks_at = now + LOOK_INTERVAL_S
            self._look = asyncio.create_task(self._find_holder(), name=f"turn of {self.name}")

    async def _find_holder(self) -> None:
        try:
            lease = await leases.held_by_another(self.database, self._lease, self.owner)
        except PyMongoError:
            return
        if lease is not None:
            self._contended_until = self.clock() + REMEMBERED_S
            if self.handover is not None and self.handover.reaches(lease["address"]):
                self._host = lease["address"]

    def _renew(self) -> None:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._ask(wants=False), name=f"turn of {self.name}")

    async def _ask(self, *, wants: bool) -> bool:
        """Ask for the lease once, and note the answer; whether there is anything to wait for."""
        address = self.handover.address if self.handover is not None else None
        try:
            lease = await leases.contend(self.database, self._lease, self.owner, LEASE_S, address, wants=wants)
        except PyMongoError:
            self._turn_ends = None
            return False
        if lease is not None and lease["owner"] == self.owner:
            self._turn_ends = self.clock() + TURN_S
            self._is_wanted = lease["is_wanted"]
            return False
        self._turn_ends = None
        self._contended_until = self.clock() + REMEMBERED_S
        if lease is not None and self.handover is not None and self.handover.reaches(lease["address"]):
            self._host = lease["address"]
            return False
        return True

    async def _contend(self, now: float) -> str | None:
        wants = False
        while self.clock() < now + MAX_WAIT_S and await self._ask(wants=wants):
            wants = True
            await asyncio.sleep(_POLL_S * (0.5 + self.jitter()))
        return self._host

    @property
    def _lease(self) -> str:
        return f"turn/{self.name}"

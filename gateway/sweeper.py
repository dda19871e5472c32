"""What happens without anybody asking: chores such as expiring unpaid orders, each done by one process at a time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import structlog

from datastores import leases
from datastores.ids import new_id
from datastores.mongo import Database
from datastores.tasks import cancelled
from resolvers.chores import Chore
from resolvers.context import Context

MAX_TIMEOUT_S: Final = 280.0
# How long a chore that was told to end may go on before its lease can be another's.
SLACK_S: Final = 5.0
GRACE_S: Final = 5.0
LEASE_TIMEOUT_S: Final = 5.0
MORE_PAUSE_S: Final = 0.1
MAX_DOUBLINGS: Final = 4
MAX_CHORES: Final = 50

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class ChoreStatistics:
    """Of one chore in this process: how often it ran, what it did, and how often it failed."""

    runs: int = 0
    done: int = 0
    failures: int = 0
    seconds: float = 0.0


class Sweeper:
    """Runs each chore about every two seconds, sooner while it finds work; use as
    `async with Sweeper(database, make_context, chores)`.

    A chore's lease is held by one process, which keeps it from run to run; where that process dies, another takes over
    once the lease has expired (twice the chore's timeout and 10 s). A chore that fails or takes too long is logged and
    tried again, up to 16 times less often while it goes on failing. At the end the chores under way get 5 s to finish.
    """

    def __init__(
        self,
        database: Database,
        make_context: Callable[[], Context],
        chores: Sequence[Chore],
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        names = {chore.name for chore in chores}
        if len(names) < len(chores) or len(chores) > MAX_CHORES:
            raise ValueError(f"at most {MAX_CHORES} chores, each with a name of its own")
        if any(not 0 < chore.timeout_s <= MAX_TIMEOUT_S for chore in chores):
            raise ValueError(f"a chore's timeout is at most {MAX_TIMEOUT_S} s")
        self._rounds = [_Round(database, make_context, chore, new_id("swp"), jitter) for chore in chores]
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def statistics(self) -> Mapping[str, ChoreStatistics]:
        """By the name of the chore."""
        return {each.chore.name: each.statistics for each in self._rounds}

    async def __aenter__(self) -> Sweeper:
        self._tasks = [asyncio.create_task(each.run(), name=f"chore {each.chore.name}") for each in self._rounds]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._rounds:
            each.ending.set()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=GRACE_S)
        await cancelled(late)


class _Round:
    """One chore, again and again."""

    def __init__(
        self,
        database: Database,
        make_context: Callable[[], Context],
        chore: Chore,
        owner: str,
        jitter: Callable[[], float],
    ) -> None:
        self.chore = chore
        self.statistics = ChoreStatistics()
        self.ending = asyncio.Event()
        self._database = database
        self._make_context = make_context
        self._owner = owner
        self._jitter = jitter
        self._lease = f"chore/{chore.name}"
        self._held_until = 0.0
        self._failures_in_a_row = 0

    async def run(self) -> None:
        while not self.ending.is_set():
            done = await self._turn()
            try:
                await asyncio.wait_for(self.ending.wait(), MORE_PAUSE_S if done else self._pause_s())
            except TimeoutError:
                continue
        await self._release()

    def _pause_s(self) -> float:
        doublings = min(self._failures_in_a_row, MAX_DOUBLINGS)
        return self.chore.interval_s * (1 << doublings) * (0.75 + self._jitter() / 2)

    async def _turn(self) -> int:
        started = time.monotonic()
        try:
            async with asyncio.timeout(LEASE_TIMEOUT_S):
                if not await self._holds_lease():
                    return 0
            async with asyncio.timeout(self.chore.timeout_s):
                done = await self.chore.run(self._make_context())
        except Exception as error:
            self.statistics.failures += 1
            self._failures_in_a_row += 1
            _log.warning("a chore failed", chore=self.chore.name, exc_info=error)
            return 0
        self._failures_in_a_row = 0
        self.statistics.runs += 1
        self.statistics.done += done
        self.statistics.seconds += time.monotonic() - started
        return done

    async def _holds_lease(self) -> bool:
        """Whether the chore may run for its whole timeout; the lease is written anew only when it runs out."""
        now = time.monotonic()
        if self._held_until - now > self.chore.timeout_s + SLACK_S:
            return True
        ttl_s = 2 * (self.chore.timeout_s + SLACK_S)
        lease = await leases.acquire(self._database, self._lease, self._owner, ttl_s)
        self._held_until = 0.0 if lease is None else now + ttl_s
        return lease is not None

    async def _release(self) -> None:
        if self._held_until == 0.0:
            return
        try:
            async with asyncio.timeout(GRACE_S):
                await leases.release(self._database, self._lease, self._owner)
        except Exception as error:
            # It expires by itself.
            _log.info("a lease was not given back", chore=self.chore.name, exc_info=error)

"""Who delivers: the endpoints are in shards, and one process at a time has a shard, by a lease."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Final

import structlog

from datastores import leases
from datastores import webhooks as store
from datastores.ids import new_id
from datastores.mongo import Database
from datastores.signals import SIGNALS, topic_of
from datastores.tasks import cancelled
from resolvers import webhooks
from resolvers.context import MissedRowsError

from .deliverer import Deliverer, Means
from .sending import TIMEOUT_S

LEASE_TTL_S: Final = 40.0
LEASE_TIMEOUT_S: Final = 5.0
REFRESHED_S: Final = 5.0
# Many changes at once are looked at once.
GATHERED_S: Final = 0.02
SLACK_S: Final = 2.0
GRACE_S: Final = 5.0
PAUSE_S: Final = 1.0
# So that of processes that start together none has all shards.
STANDS_BACK_S: Final = 0.3

_log = structlog.get_logger(__name__)


class WebhookWorker:
    """Delivers webhooks; use as `async with WebhookWorker(database, means)`.

    A shard is held by one process, which keeps it while it lives; where that process dies, another takes over once the
    lease has expired (40 s). An attempt begins only while the lease lasts longer than it may take. At the end the
    attempts under way get 5 s, then the leases are given back.
    """

    def __init__(
        self,
        database: Database,
        means: Means,
        *,
        lease_ttl_s: float = LEASE_TTL_S,
        attempt_s: float = TIMEOUT_S,
        refreshed_s: float = REFRESHED_S,
    ) -> None:
        owner = new_id("whw")
        self._held: set[int] = set()
        self._shards = [
            _Shard(database, means, number, owner, self._held, lease_ttl_s, attempt_s + SLACK_S, refreshed_s)
            for number in range(store.SHARDS)
        ]
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def held(self) -> frozenset[int]:
        """The shards that this process has now."""
        return frozenset(self._held)

    def end(self) -> None:
        """Begin no further attempt, and give the leases back. For the beginning of a graceful stop."""
        for shard in self._shards:
            shard.end()

    async def __aenter__(self) -> WebhookWorker:
        self._tasks = [
            asyncio.create_task(shard.run(), name=f"webhooks of shard {shard.number}") for shard in self._shards
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        _, late = await asyncio.wait(self._tasks, timeout=2 * GRACE_S)
        await cancelled(late)


class _Shard:
    """The endpoints of one shard, while this process has its lease."""

    def __init__(
        self,
        database: Database,
        means: Means,
        number: int,
        owner: str,
        held: set[int],
        ttl_s: float,
        needed_s: float,
        refreshed_s: float,
    ) -> None:
        if ttl_s <= needed_s:
            raise ValueError("a lease must last longer than an attempt")
        self.number = number
        self._database = database
        self._means = means
        self._owner = owner
        self._held = held
        self._ttl_s = ttl_s
        self._needed_s = needed_s
        self._refreshed_s = min(refreshed_s, (ttl_s - needed_s) / 3)
        self._lease = f"webhooks/{number}"
        self._held_until = 0.0
        self._is_ending = False
        self._changed = asyncio.Event()
        self._deliverers: dict[str, tuple[Deliverer, asyncio.Task[None]]] = {}

    def end(self) -> None:
        self._is_ending = True
        self._changed.set()
        for deliverer, _ in self._deliverers.values():
            deliverer.end()

    async def run(self) -> None:
        telling = asyncio.create_task(self._listen(), name=f"changes of shard {self.number}")
        try:
            while not self._is_ending:
                await self._pause(STANDS_BACK_S * len(self._held))
                await self._turn()
                self._changed.clear()
                await self._pause(self._refreshed_s)
        finally:
            await cancelled([telling])

    async def _turn(self) -> None:
        try:
            if not self._is_ending and (term := await self._take()) is not None:
                await self._hold(term)
        except Exception as error:
            _log.warning("a shard of webhooks was not taken", shard=self.number, exc_info=error)

    async def _take(self) -> int | None:
        """The term of the lease, which is held from now on; None while another has it."""
        asked_at = time.monotonic()
        async with asyncio.timeout(LEASE_TIMEOUT_S):
            lease = await leases.acquire(self._database, self._lease, self._owner, self._ttl_s)
        if lease is None:
            return None
        # From before it was asked for: whoever takes it next counts from later.
        self._held_until = asked_at + self._ttl_s
        return lease["term"]

    def _may_start(self) -> bool:
        return self._held_until - time.monotonic() > self._needed_s

    async def _hold(self, term: int) -> None:
        self._held.add(self.number)
        try:
            while not self._is_ending:
                self._changed.clear()
                try:
                    if await self._take() != term:
                        return
                    await self._refresh(term)
                except Exception as error:
                    # The database is away: the lease lasts a while, and no attempt begins that outlasts it.
                    _log.warning("a shard of webhooks was not looked at", shard=self.number, exc_info=error)
                    if time.monotonic() > self._held_until:
                        return
                await self._pause(self._refreshed_s)
                await asyncio.sleep(GATHERED_S)
        finally:
            self._held.discard(self.number)
            await self._stop()

    async def _refresh(self, term: int) -> None:
        """See to it that each enabled endpoint has a deliverer that knows what its application may see."""
        enabled = {each["_id"]: each for each in await store.enabled_of_shard(self._database, self.number)}
        ctx = self._means.make_context()
        granted = await webhooks.granted(ctx, [each["partner_id"] for each in enabled.values()])
        self._deliverers = {id: each for id, each in self._deliverers.items() if not each[1].done()}
        for id in self._deliverers.keys() - enabled.keys():
            # What is under way is still brought to its end and written down: never cancel here.
            self._deliverers[id][0].end()
        for id, endpoint in enabled.items():
            if id not in self._deliverers:
                self._begin(id, term)
            self._deliverers[id][0].grant(granted[endpoint["partner_id"]])

    def _begin(self, id: str, term: int) -> None:
        deliverer = Deliverer(self._means, id, term, self._may_start)

        def ended(_: asyncio.Task[None]) -> None:
            if deliverer.is_ending:
                # It may be enabled again by now.
                self._changed.set()

        task = asyncio.create_task(deliverer.run(), name=f"webhooks to {id}")
        task.add_done_callback(ended)
        self._deliverers[id] = (deliverer, task)

    async def _stop(self) -> None:
        for deliverer, _ in self._deliverers.values():
            deliverer.end()
        tasks = [task for _, task in self._deliverers.values()]
        self._deliverers.clear()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=GRACE_S)
            await cancelled(late)
        with suppress(Exception):
            async with asyncio.timeout(LEASE_TIMEOUT_S):
                await leases.release(self._database, self._lease, self._owner)

    async def _listen(self) -> None:
        """Hear of changes at once, in whatever process they were made; what was not heard may have been any of them."""
        topics = [topic_of(webhooks.CHANNEL, str(self.number))]
        while not self._is_ending:
            with suppress(Exception):
                hub = self._means.make_context().hub
                async with hub.open(SIGNALS, topics, coalesce=lambda row: row["message"]["endpoint_id"]) as feed:
                    self._wake(self._deliverers.keys())
                    while True:
                        try:
                            self._wake([(await feed.take())["message"]["endpoint_id"]])
                        except MissedRowsError:
                            self._wake(self._deliverers.keys())
            await asyncio.sleep(PAUSE_S)

    def _wake(self, endpoint_ids: Iterable[str]) -> None:
        for id in endpoint_ids:
            if (found := self._deliverers.get(id)) is not None:
                found[0].wake()
        self._changed.set()

    async def _pause(self, seconds: float) -> None:
        if self._is_ending:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

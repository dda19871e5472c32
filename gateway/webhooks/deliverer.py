"""How one endpoint gets its events: in order, one at a time, woken by the hub, with every attempt written down."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog

from datastores import webhooks as store
from datastores.errors import GoingAwayError
from datastores.mongo import Document
from datastores.webhooks import AttemptDocument, AttemptError, DeliveryState, EndpointDocument
from resolvers import webhooks
from resolvers.context import Context, Feed, MissedRowsError
from resolvers.partners import ENTRIES
from resolvers.webhooks import SCHEDULE, Message, Schedule

from .lanes import SLOW_FROM_MS, Lanes
from .sending import Sender

# The hub tells of every event; this is how long one could wait that it did not tell of.
IDLE_S: Final = 60.0
MAX_PAUSE_S: Final = 30.0
NO_LEASE_PAUSE_S: Final = 0.2

OnAttempt = Callable[[str, float, float | None], None]
"""Told of every attempt: `delivered`, `failed`, `dead` or `disabled`, seconds, how old what was delivered is."""

_log = structlog.get_logger(__name__)


class LostEndpoint(Exception):
    """The endpoint is disabled or gone, or another process delivers to it now."""


class _NotNowError(Exception):
    """It must not be begun any more, or not under this lease."""


@dataclass(frozen=True, slots=True)
class Means:
    """What all deliverers of a process share."""

    make_context: Callable[[], Context]
    make_sender: Callable[[], Sender]
    lanes: Lanes
    on_attempt: OnAttempt = lambda outcome, duration_s, lag_s: None
    schedule: Schedule = SCHEDULE
    jitter: Callable[[], float] = random.random


class Deliverer:
    """Delivers to one endpoint for as long as `run` runs; `may_start()` says whether its lease lasts for an attempt."""

    def __init__(self, means: Means, endpoint_id: str, term: int, may_start: Callable[[], bool]) -> None:
        self.endpoint_id = endpoint_id
        self.is_ending = False
        self._means = means
        self._term = term
        self._may_start = may_start
        self._merchant_ids: tuple[str, ...] = ()
        self._wake = asyncio.Event()
        self._is_stale = False
        self._is_slow = False
        self._sender = means.make_sender()

    def grant(self, merchant_ids: Sequence[str]) -> None:
        """What the application may see now."""
        if set(merchant_ids) != set(self._merchant_ids):
            self._merchant_ids = tuple(merchant_ids)
            self.wake()

    def wake(self) -> None:
        """The endpoint was changed, or something is to be sent to it: look again."""
        self._is_stale = True
        self._wake.set()

    def end(self) -> None:
        """Begin no further attempt."""
        self.is_ending = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver until the endpoint is lost, or told to end. What fails here is logged and tried again."""
        failures = 0
        try:
            while not self.is_ending:
                try:
                    await self._follow()
                    failures = 0
                except (LostEndpoint, GoingAwayError):
                    return
                except Exception as error:
                    failures += 1
                    _log.warning("delivering webhooks failed", endpoint=self.endpoint_id, exc_info=error)
                    await self._pause(min(2.0 ** min(failures, 10) / 2, MAX_PAUSE_S))
        finally:
            await self._sender.close()

    async def _follow(self) -> None:
        """Deliver what the application may see, until that changes."""
        merchant_ids = self._merchant_ids
        async with self._woken_by(self._means.make_context(), merchant_ids):
            while self._merchant_ids == merchant_ids and not self.is_ending:
                self._wake.clear()
                self._is_stale = False
                await self._pause(await self._work(merchant_ids))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    @asynccontextmanager
    async def _woken_by(self, ctx: Context, merchant_ids: Sequence[str]) -> AsyncIterator[None]:
        if not merchant_ids:
            yield
            return
        # The newest row is enough to know that there is something to read.
        async with ctx.hub.open(ENTRIES, merchant_ids, coalesce=lambda _: None) as feed:
            listening = asyncio.create_task(self._listen(feed), name=f"listen for {self.endpoint_id}")
            try:
                yield
            finally:
                listening.cancel()

    async def _listen(self, feed: Feed) -> None:
        while True:
            try:
                await feed.take()
            except MissedRowsError:
                pass
            except GoingAwayError:
                return
            self._wake.set()

    async def _work(self, merchant_ids: Sequence[str]) -> float:
        """Deliver all that is due; how many seconds later to look again, if nothing happens before."""
        try:
            return await self._deliver(merchant_ids)
        except _NotNowError:
            return NO_LEASE_PAUSE_S

    async def _deliver(self, merchant_ids: Sequence[str]) -> float:
        ctx = self._means.make_context()
        endpoint = await self._adopted(ctx)
        for message in await webhooks.queued_messages(ctx, endpoint, merchant_ids):
            await self._send_once(ctx, endpoint, message)
        while not self.is_ending:
            wait_s = _until_due(ctx, endpoint)
            if wait_s > 0:
                return min(wait_s, IDLE_S)
            # What an application may see holds for the events of one page, which is asked for anew each time.
            if await self._rights_changed(ctx, endpoint, merchant_ids):
                return 0
            messages = await webhooks.next_messages(ctx, endpoint, merchant_ids) if merchant_ids else []
            if not messages:
                return IDLE_S * (0.75 + self._means.jitter() / 2)
            for message in messages:
                changed = await self._send_next(ctx, endpoint, message)
                if changed is None or self._is_stale:
                    return 0
                endpoint = changed
                if endpoint["next_attempt_at"] is not None:
                    break
        return 0

    def _check_start(self) -> None:
        if self.is_ending or not self._may_start():
            raise _NotNowError

    async def _adopted(self, ctx: Context) -> EndpointDocument:
        endpoint = await store.adopt(ctx.database, self.endpoint_id, self._term)
        if endpoint is None:
            raise LostEndpoint
        return endpoint

    async def _rights_changed(self, ctx: Context, endpoint: EndpointDocument, merchant_ids: Sequence[str]) -> bool:
        partner_id = endpoint["partner_id"]
        self.grant((await webhooks.granted(ctx, [partner_id]))[partner_id])
        return set(self._merchant_ids) != set(merchant_ids)

    async def _send_once(self, ctx: Context, endpoint: EndpointDocument, message: Message) -> None:
        """Send what was asked for out of turn: one attempt, whatever comes of it."""
        attempt = await self._attempt(ctx, endpoint, message)
        was_delivered = message.delivery["delivered_at"] is not None
        arrived = webhooks.is_success(attempt) or was_delivered
        state = DeliveryState.DELIVERED if arrived else DeliveryState.DEAD
        self._means.on_attempt("delivered" if arrived else "failed", attempt["duration_ms"] / 1000, None)
        await store.note_attempt(ctx.database, message.delivery, attempt, state=state, next_attempt_at=None)

    async def _send_next(self, ctx: Context, endpoint: EndpointDocument, message: Message) -> EndpointDocument | None:
        """The endpoint after an attempt to deliver its next event; None where it was changed meanwhile."""
        if message.seq is None:
            raise ValueError("the next event has a number")
        attempt = await self._attempt(ctx, endpoint, message)
        means = self._means
        verdict = webhooks.judge(
            endpoint, message.seq, attempt, ctx.now(), jitter=means.jitter(), schedule=means.schedule
        )
        # The log first: what it has not got, the endpoint has not got either.
        again = verdict.next_attempt_at
        await store.note_attempt(ctx.database, message.delivery, attempt, state=verdict.state, next_attempt_at=again)
        if verdict.disabled is None:
            is_settled = await store.settle(ctx.database, endpoint, verdict.changes)
        else:
            is_settled = await webhooks.disable(ctx, endpoint, verdict.changes, verdict.disabled)
        if not is_settled:
            return None
        self._report(ctx, endpoint, message, attempt, verdict)
        if verdict.disabled is not None:
            await webhooks.tell_others(ctx, endpoint)
            raise LostEndpoint
        changed: Mapping[str, Any] = {**endpoint, **verdict.changes}
        return changed  # type: ignore[return-value]  # the same keys

    async def _attempt(self, ctx: Context, endpoint: EndpointDocument, message: Message) -> AttemptDocument:
        self._check_start()
        if message.body is None:
            return _not_sent(ctx, AttemptError.FORBIDDEN)
        secrets = webhooks.valid_secrets(ctx.keys.master, endpoint, ctx.now())
        async with self._means.lanes.place(is_slow=self._is_slow):
            # It may have waited long for its place.
            self._check_start()
            attempt = await self._sender.send(endpoint["url"], message.delivery["_id"], message.body, secrets)
        self._is_slow = attempt["error"] is not None or attempt["duration_ms"] >= SLOW_FROM_MS
        return attempt

    def _report(
        self,
        ctx: Context,
        endpoint: EndpointDocument,
        message: Message,
        attempt: AttemptDocument,
        verdict: webhooks.Verdict,
    ) -> None:
        delivered = verdict.state is DeliveryState.DELIVERED
        lag_s = max(0.0, (ctx.now() - message.happened_at).total_seconds()) if delivered else None
        outcome = "delivered" if delivered else "dead" if verdict.state is DeliveryState.DEAD else "failed"
        self._means.on_attempt(outcome, attempt["duration_ms"] / 1000, lag_s)
        about: Document = {"endpoint": endpoint["_id"], "partner": endpoint["partner_id"], "seq": message.seq}
        if verdict.state is DeliveryState.DEAD:
            _log.warning("a webhook is a dead letter", **about, error=attempt["error"])
        if verdict.disabled is not None:
            self._means.on_attempt("disabled", 0.0, None)
            _log.warning("an endpoint was disabled", **about, reason=verdict.disabled.value)


def _until_due(ctx: Context, endpoint: EndpointDocument) -> float:
    due = endpoint["next_attempt_at"]
    return 0.0 if due is None else max(0.0, (due - ctx.now()).total_seconds())


def _not_sent(ctx: Context, error: AttemptError) -> AttemptDocument:
    return {"at": ctx.now(), "status_code": None, "duration_ms": 0, "error": error.value}

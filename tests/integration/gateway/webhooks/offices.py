"""An application with a merchant whose money moves, and workers that send it webhooks."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

from datastores import partners as partners_store
from datastores.mongo import Document
from datastores.webhooks import DeliveryDocument, EndpointDocument, endpoints_by_ids
from gateway.webhooks.deliverer import Means
from gateway.webhooks.guard import Guard
from gateway.webhooks.lanes import Lanes
from gateway.webhooks.sending import Sender
from gateway.webhooks.worker import WebhookWorker
from resolvers import partners, webhooks
from resolvers.context import KEYS_WRITE, PAYMENTS_READ, WEBHOOKS_WRITE, Context, Viewer
from resolvers.webhooks import EndpointWithSecret, Schedule
from tests.integration.resolvers.people import Ask
from tests.integration.resolvers.wallets.purses import pay

PATIENCE_S = 30.0
QUICK = Schedule((0.05, 0.1), timedelta(days=3))
SHORT = Schedule((0.05,), timedelta(seconds=0.2))
SCOPES = (PAYMENTS_READ, WEBHOOKS_WRITE, KEYS_WRITE)


@dataclass
class Office:
    """An application that may see one merchant, and people who make events there."""

    ask: Ask
    payer: str
    owner: str
    merchant_id: str
    partner_id: str
    key_id: str
    attempts: list[str] = field(default_factory=list)

    @property
    def ctx(self) -> Context:
        """The application's own context, as its key gives it."""
        viewer = Viewer("partner", None, self.partner_id, (self.merchant_id,), frozenset(SCOPES))
        return replace(self.ask(None), viewer=viewer, private_webhooks=True)

    async def happen(self, events: int = 1) -> None:
        """Let so many payments happen, one after another."""
        for _ in range(events):
            await pay(self.ask, self.payer, self.owner, "0.01")

    async def feed(self, types: Sequence[str] | None = None) -> list[Document]:
        """All events, as the graph gives them."""
        page = await partners.payment_events(self.ctx, types=types, first=100)
        return [edge["node"] for edge in page["edges"]]

    async def seqs(self, types: Sequence[str] | None = None) -> list[int]:
        """Their numbers."""
        return [event["seq"] for event in await self.feed(types)]

    async def endpoint(self, url: str, **more: Any) -> EndpointWithSecret:
        """An endpoint for everything that happens from now on."""
        return await webhooks.create_endpoint(self.ctx, url=url, **more)

    async def now(self, endpoint: EndpointWithSecret) -> EndpointDocument:
        """The endpoint as it is now."""
        (found,) = await endpoints_by_ids(self.ctx.database, [endpoint.endpoint["_id"]])
        assert found is not None
        return found

    async def log(self, endpoint: EndpointWithSecret) -> list[DeliveryDocument]:
        """The log of an endpoint, the oldest first."""
        (page,) = await webhooks.deliveries(self.ctx, [{"_id": endpoint.endpoint["_id"]}], first=100)
        assert not isinstance(page, Exception)
        return [cast(DeliveryDocument, edge["node"]) for edge in reversed(page["edges"])]

    async def until(self, endpoint: EndpointWithSecret, is_so: Callable[[EndpointDocument], bool]) -> EndpointDocument:
        """The endpoint once it is so."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_so(found := await self.now(endpoint)):  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.02)
        return found

    async def logged(self, endpoint: EndpointWithSecret, is_so: Callable[[list[DeliveryDocument]], bool]) -> None:
        """Wait until the log is so."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_so(await self.log(endpoint)):  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.02)

    def worker(
        self,
        *,
        schedule: Schedule = QUICK,
        timeout_s: float = 2.0,
        lease_ttl_s: float = 10.0,
        guard: Guard | None = None,
        tls: ssl.SSLContext | None = None,
        lanes: Lanes | None = None,
    ) -> AbstractAsyncContextManager[WebhookWorker]:
        """Somebody who delivers, quick to try again."""
        guarding = guard or Guard(private=True)
        verify = tls or ssl.create_default_context()

        def told(outcome: str, duration_s: float, lag_s: float | None) -> None:
            self.attempts.append(outcome)

        means = Means(
            lambda: self.ask(None),
            lambda: Sender(guarding, verify, timeout_s=timeout_s),
            lanes or Lanes(),
            told,
            schedule,
        )
        return WebhookWorker(self.ctx.database, means, lease_ttl_s=lease_ttl_s, attempt_s=timeout_s, refreshed_s=0.5)


async def open_office(ask: Ask, payer: str, owner: str, merchant_id: str, name: str = "books") -> Office:
    """An application with one key, that may see this merchant."""
    key = partners.new_partner_key()
    partner_id = await partners_store.create_partner(
        ask(None).database,
        name=name,
        merchant_ids=[merchant_id],
        key_id=key.id,
        secret_hash=key.secret_hash,
        scopes=SCOPES,
    )
    return Office(ask, payer, owner, merchant_id, partner_id, key.id)

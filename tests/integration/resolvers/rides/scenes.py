"""Ann, who has money, Victor, who is paid for rides, and a ride service that does as it is told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from datastores.ledger import decimal_amount, verify
from datastores.mongo import Database
from datastores.rides import RideDocument
from gateway.services import UpstreamClient
from resolvers import rides
from resolvers.context import Context
from resolvers.rides import QuoteDocument, RideBooked
from tests.integration.resolvers.people import Ask
from tests.integration.resolvers.wallets.purses import balance
from tests.rides_service import RidesService


@dataclass
class Scene:
    """Whoever rides, and the service."""

    database: Database
    ask: Ask
    service: RidesService
    client: UpstreamClient
    ann: str
    victor: str

    def ctx(self, user_id: str | None = None, *, later_s: float = 0.0) -> Context:
        """A context of Ann, or of this person, so much later."""
        ctx = self.ask(user_id or self.ann)
        return replace(ctx, services={"rides": self.client}, now=lambda: _later(ctx, later_s))

    async def quote(self) -> QuoteDocument:
        """The cheapest offer."""
        quotes = await rides.quotes(self.ctx(), pickup="Square", dropoff="Ferry", currency="EUR")
        assert quotes is not None
        return quotes[0]

    async def book(
        self, quote: QuoteDocument | None = None, *, key: str | None = None, who: str | None = None
    ) -> RideBooked:
        """Book it, as Ann or this person."""
        quote = quote or await self.quote()
        return await rides.book_ride(
            self.ctx(who), idempotency_key=key or uuid4().hex, quote_id=quote["_id"], expected_max_fare=amount(quote)
        )

    async def move(self, ride: RideDocument, stage: str, fare: int | None = None) -> None:
        """Let the service have come so far with it."""
        await self.service.control(reference=ride["_id"], stage=stage, fare=fare)

    async def sweep(self, later_s: float = 10.0) -> int:
        """What the sweeper does, so much later."""
        return await rides.follow_rides(self.ctx(later_s=later_s))

    async def now(self, ride: RideDocument) -> RideDocument:
        """The ride as it is now."""
        (found,) = await rides.rides_by_id(self.ctx(), [ride["_id"]])
        assert found is not None
        return found

    async def money(self, user_id: str | None = None) -> tuple[int, int]:
        """What Ann, or this person, has posted and available, in cents."""
        return await balance(self.ask, user_id or self.ann)

    async def ledger_holds(self) -> bool:
        """Whether a replay of the ledger finds nothing wrong."""
        return (await verify(self.database)).problems == []


def amount(quote: QuoteDocument) -> Any:
    """The most that it costs, as a client gives it."""
    money = quote["max_fare"]
    return {"amount": Decimal(decimal_amount(money["minor_units"], money["currency"])), "currency": money["currency"]}


def _later(ctx: Context, seconds: float) -> Any:
    return ctx.now() + timedelta(seconds=seconds)

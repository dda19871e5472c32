"""Payment events in the graph: one feed, read page by page or followed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, cast

import strawberry
from strawberry import UNSET

from datastores.mongo import Document
from datastores.paging import PageDocument
from resolvers import partners as use_cases
from schema.arguments import FIRST, SINCE, Info, or_none
from schema.composition import loads, plain, root
from schema.entities import Order, PaymentEvent, Transfer, Wallet
from schema.scalars import BigInt, Cursor
from schema.values import Connection, Money

from .domain import TYPES, partners


@partners.extends(PaymentEvent)
class PaymentEventFields:
    type: str = plain(description="What happened, such as `payment.completed` or `order.shipped`.")
    seq: BigInt = plain(description="Its number in the ledger: events come in this order; other numbers lie between.")
    previous_seq: BigInt | None = plain(
        description=(
            "The `seq` of the event before it in the feed that was asked for, with its `types`: proof that none was "
            "left out. Null for the first, and by `node(id:)`."
        )
    )
    cursor: Cursor = plain(description="Where to go on, by query or by subscription.")
    created_at: datetime = plain(description="When it happened.")
    event_amount: Money | None = plain(description="How much it is about; null for what has no amount.")
    transfer: Transfer | None = loads(
        Transfer, key="transfer_id", description="The transfer that it is about, as far as the caller may see it."
    )
    order: Order | None = loads(Order, key="order_id", description="The order that it is about.")
    wallet: Wallet | None = loads(
        Wallet, key="wallet_id", description="The wallet that it changed, where it is the caller's own."
    )


@partners.root
class Query:
    @root(
        Connection[PaymentEvent] | None,
        description=(
            "What happened to the money and the orders of a merchant, the oldest first. For a partner's key with the "
            "scope `payments:read`, and for the owner of a merchant; others are `FORBIDDEN`."
        ),
    )
    async def payment_events(
        self,
        info: Info,
        after: Annotated[Cursor | None, strawberry.argument(description="Go on after this cursor.")] = UNSET,
        types: Annotated[list[str] | None, strawberry.argument(description=TYPES)] = UNSET,
        first: Annotated[int | None, strawberry.argument(description=FIRST)] = UNSET,
    ) -> PageDocument:
        return await use_cases.payment_events(
            info.context, after=or_none(after), types=or_none(types), first=or_none(first)
        )


@partners.root
class Subscription:
    @root(
        PaymentEvent,
        subscription=True,
        hearers="viewer",
        description="The feed of `paymentEvents` as it grows: what came after the cursor first, then what is new.",
    )
    async def payment_events(
        self,
        info: Info,
        after: Annotated[Cursor | None, strawberry.argument(description=SINCE)] = UNSET,
        types: Annotated[list[str] | None, strawberry.argument(description=TYPES)] = UNSET,
    ) -> AsyncGenerator[Document, None]:
        events = use_cases.follow_payment_events(info.context, after=or_none(after), types=or_none(types))
        async with aclosing(events):
            async for event in events:
                yield cast(Document, event)

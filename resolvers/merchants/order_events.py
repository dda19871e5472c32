"""What a person hears of their orders as it happens, whether they buy or sell."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypedDict, cast

from datastores import merchants as store
from datastores.errors import NotFoundError
from datastores.merchants import EVENTS, OrderDocument, OrderEventKind
from datastores.paging import decode_cursor, encode_cursor
from resolvers.audiences import Delivery
from resolvers.context import Context
from resolvers.streams import follow


class OrderEvent(TypedDict):
    """An order to which something happened, as it is now."""

    cursor: str
    order: OrderDocument
    delivery: Delivery


def event_cursor(order: OrderDocument, kind: OrderEventKind, user_id: str) -> str:
    """The cursor of this event for its buyer or for its merchant's owner."""
    return encode_cursor(_scope(user_id), store.event_number(order, kind, user_id))


async def order_updated(
    ctx: Context, *, order_id: str | None = None, after: str | None = None
) -> AsyncGenerator[OrderEvent, None]:
    """Everything that happens to an order, or to all orders that the viewer placed or gets as a merchant.

    All of a person's orders share one sequence. Raises NotFoundError for an order that is not theirs, ValidationError
    for a cursor of something else, and what `streams.follow` raises.
    """
    user_id = ctx.viewer.person()
    scope = _scope(user_id)
    place = None if after is None else cast(int, decode_cursor(scope, after, int)[0])
    if order_id is not None:
        (found,) = await store.orders_by_ids(ctx.database, [order_id])
        if found is None or user_id not in (found["buyer_id"], found["merchant_owner_id"]):
            raise NotFoundError("There is no such order")
    rows = follow(
        ctx,
        EVENTS,
        [user_id],
        after=place,
        head=lambda: store.event_head(ctx.database, user_id),
        read=lambda number, limit: store.events_after(ctx.database, user_id, number, limit),
        number=lambda row: cast(int, row["n"]),
        scope=scope,
        contiguous=True,
    )
    async with aclosing(rows):
        async for row in rows:
            if order_id is not None and row["order_id"] != order_id:
                continue
            (order,) = await store.orders_by_ids(ctx.database, [row["order_id"]])
            if order is not None:
                yield {"cursor": encode_cursor(scope, row["n"]), "order": order, "delivery": Delivery(row["n"])}


def _scope(user_id: str) -> str:
    return f"orders/{user_id}"

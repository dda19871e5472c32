"""What follows from what happened to an order: its conversation, and notices to those who did not do it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from datastores import merchants as store
from datastores.errors import ExpectedError
from datastores.merchants import OrderDocument, OrderEventKind, OrderFollowUp
from resolvers.context import Context
from resolvers.conversations import ensure_order_conversation
from resolvers.notifications import Kind, write_notice

RETRY_S: Final = 30.0
_NOTICES: Final[Mapping[OrderEventKind, Kind]] = {
    OrderEventKind.PLACED: "order_placed",
    OrderEventKind.PAID: "order_paid",
    OrderEventKind.SHIPPED: "order_shipped",
    OrderEventKind.COMPLETED: "order_completed",
    OrderEventKind.CANCELLED: "order_cancelled",
    OrderEventKind.REFUNDED: "order_cancelled",
}
_log: Final = logging.getLogger(__name__)


async def announce(ctx: Context, order: OrderDocument, kind: OrderEventKind) -> None:
    """Let follow what must from this event of an order, unless it has already.

    The event has happened, so what is not possible now is logged, and left to `finish_order_follow_ups`.
    """
    try:
        follow_up = await store.follow_up(ctx.database, order["_id"], kind)
        if follow_up is not None:
            await _finish(ctx, order, follow_up)
    except ExpectedError as error:
        _log.warning("what follows from an order that is %s must wait: %s", kind, error.code)


async def finish_order_follow_ups(ctx: Context) -> int:
    """Do what is overdue, at most 100 things; returns how many are done. For a sweeper: any number may run at once."""
    due = await store.due_follow_ups(ctx.database, ctx.now())
    orders = await store.orders_by_ids(ctx.database, [each["order_id"] for each in due])
    return sum(
        await asyncio.gather(
            *(_try_to_finish(ctx, order, each) for order, each in zip(orders, due, strict=True) if order is not None)
        )
    )


async def _try_to_finish(ctx: Context, order: OrderDocument, follow_up: OrderFollowUp) -> bool:
    try:
        await _finish(ctx, order, follow_up)
    except ExpectedError:
        await store.postpone_follow_up(ctx.database, follow_up["_id"], ctx.now() + timedelta(seconds=RETRY_S))
        return False
    return True


async def _finish(ctx: Context, order: OrderDocument, follow_up: OrderFollowUp) -> None:
    kind = OrderEventKind(follow_up["kind"])
    buyer_id, owner_id = order["buyer_id"], order["merchant_owner_id"]
    if kind is OrderEventKind.PLACED:
        title = _title(order)
        await ensure_order_conversation(
            ctx, order_id=order["_id"], buyer_id=buyer_id, merchant_owner_id=owner_id, title=title
        )
    actor_id = follow_up["actor_id"]
    for user_id in (buyer_id, owner_id):
        await write_notice(ctx, user_id=user_id, kind=_NOTICES[kind], actor_id=actor_id, subject_id=order["_id"])
    await store.finish_follow_up(ctx.database, follow_up["_id"])


def _title(order: OrderDocument) -> str:
    first, others = order["lines"][0]["title"], len(order["lines"]) - 1
    return f"{first} and {others} more" if others else first

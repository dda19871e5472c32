"""What the system does to orders when their time has come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from datastores import merchants as store
from datastores.commit import Act
from datastores.errors import ConflictError, ExpectedError
from datastores.ledger import COMMIT_LOOP, system_command
from datastores.merchants import CancelOrder, CompleteOrder, OrderDocument, OrderEventKind, OrderState
from resolvers.context import Context

from .follow_ups import announce
from .orders import weight_of

RETRY: Final = timedelta(hours=1)
_log: Final = logging.getLogger(__name__)


async def expire_orders(ctx: Context) -> int:
    """Cancel at most 100 orders that nobody paid within 30 minutes, and free their stock; returns how many."""

    def act(order: OrderDocument) -> CancelOrder:
        return CancelOrder(system_command("expire", order["_id"]), order, None)

    return await _end(ctx, OrderState.PLACED, OrderEventKind.CANCELLED, act)


async def complete_orders(ctx: Context) -> int:
    """Complete at most 100 orders that were shipped 14 days ago, and release what was paid; returns how many."""

    def act(order: OrderDocument) -> CompleteOrder:
        return CompleteOrder(system_command("complete", order["_id"]), order, None, ctx.fees.sale, ctx.default_tier)

    return await _end(ctx, OrderState.SHIPPED, OrderEventKind.COMPLETED, act)


async def _end(
    ctx: Context, state: OrderState, kind: OrderEventKind, act: Callable[[OrderDocument], Act[OrderDocument]]
) -> int:
    due = await store.due_orders(ctx.database, state, ctx.now())
    return sum(await asyncio.gather(*(_end_one(ctx, order, kind, act(order)) for order in due)))


async def _end_one(ctx: Context, order: OrderDocument, kind: OrderEventKind, act: Act[OrderDocument]) -> bool:
    try:
        ended = await ctx.commits[COMMIT_LOOP].submit(act, weight=weight_of(len(order["lines"])))
    except ConflictError as refused:
        # Somebody was faster, which the state tells, or a wallet cannot be paid now: those must not be in the way.
        _log.info("an order that is due was left as it is: %s", refused.message)
        await store.postpone(ctx.database, order, ctx.now() + RETRY)
        return False
    except ExpectedError as error:
        _log.warning("an order that is due must wait: %s", error.code)
        return False
    await announce(ctx, ended, kind)
    return True

"""Reconciling each day that is over, once, without anybody asking."""

from __future__ import annotations

import logging
from datetime import date, datetime, time, timedelta
from typing import Final

from datastores import wallets as store
from datastores.errors import ExpectedError
from datastores.wallets import Rail, RailSilentError, StatementError
from resolvers.context import Context

# What was settled just before midnight is heard of just after it.
AFTER: Final = timedelta(minutes=10)
MAX_DAYS_BACK: Final = 7
_log: Final = logging.getLogger(__name__)


async def reconcile_days(ctx: Context) -> int:
    """Reconcile of each rail the oldest of the last 7 days that was not yet; returns how many. For a sweeper.

    A day is taken up ten minutes after it is over. Findings are a warning in the log; the report says which.
    """
    done = 0
    for name, rail in store.connected_rails(ctx.rails, ctx.database, ctx.now).items():
        if (day := await _next_day(ctx, name)) is not None:
            done += await _reconcile(ctx, name, rail, day)
    return done


async def _next_day(ctx: Context, rail: str) -> date | None:
    last = (ctx.now() - AFTER).date() - timedelta(days=1)
    first = await store.first_asked_at(ctx.database, rail)
    days = [last - timedelta(days=back) for back in range(MAX_DAYS_BACK)]
    days = [day for day in days if first is not None and datetime.combine(day, time.max) >= first]
    done = await store.final_days(ctx.database, rail, [day.isoformat() for day in days])
    return min((day for day in days if day.isoformat() not in done), default=None)


async def _reconcile(ctx: Context, name: str, rail: Rail, day: date) -> bool:
    try:
        report = await store.reconcile(ctx.database, name, rail, day, ctx.now)
    except (RailSilentError, StatementError, ExpectedError) as error:
        _log.warning("%s could not be reconciled for %s: %s", name, day, error or "no answer")
        return False
    count = sum(report["counts"].values())
    if count:
        kinds = ", ".join(f"{kind} {number}" for kind, number in report["counts"].items())
        _log.warning("%s for %s: %s findings (%s), report %s", name, day, count, kinds, report["_id"])
    else:
        _log.info("%s for %s: all agrees, report %s", name, day, report["_id"])
    return True

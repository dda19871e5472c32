"""Proofs that the system makes by itself: checkpoints of the ledger."""

from __future__ import annotations

from typing import Final

from datastores import ledger

from .context import Context

CHECKPOINT_INTERVAL_S: Final = 10.0


async def checkpoint_ledger(ctx: Context) -> int:
    """Sign the head of the ledger where that is due: after 1,000 entries, or 10 minutes after the last if any came.

    Returns 0, since there is never more to do at once. Raises CheckpointError where the journal was rewritten.
    """
    if await ledger.is_due(ctx.database, ctx.now()):
        await ledger.make_checkpoint(ctx.database, ctx.keys.master, ctx.now())
    return 0

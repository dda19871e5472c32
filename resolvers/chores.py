"""What the system does without anybody asking, and how often; `gateway/sweeper.py` sees to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from . import erasure, merchants, proofs, wallets
from .context import Context

INTERVAL_S: Final = 2.0
TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Chore:
    """`run` does a bounded piece of work and answers how many things it did: 0 when nothing is left to do.

    It may be broken off at any moment and must then be done again without harm; it gets `timeout_s` (at most 280).
    One that needs a `service` of somebody else is done only where that is connected.
    """

    name: str
    run: Callable[[Context], Awaitable[int]]
    timeout_s: float = TIMEOUT_S
    interval_s: float = INTERVAL_S
    service: str | None = None


CHORES: Final[tuple[Chore, ...]] = (
    Chore("finish_follow_ups", wallets.finish_follow_ups),
    Chore("ask_rails", wallets.ask_rails, timeout_s=30.0),
    Chore("expire_payment_requests", wallets.expire_payment_requests),
    Chore("expire_holds", wallets.expire_holds),
    Chore("reconcile_days", wallets.reconcile_days, timeout_s=270.0, interval_s=60.0),
    Chore("expire_orders", merchants.expire_orders),
    Chore("complete_orders", merchants.complete_orders),
    Chore("finish_order_follow_ups", merchants.finish_order_follow_ups),
    Chore("finish_erasures", erasure.finish_erasures, timeout_s=60.0),
    Chore("checkpoint_ledger", proofs.checkpoint_ledger, interval_s=proofs.CHECKPOINT_INTERVAL_S),
)

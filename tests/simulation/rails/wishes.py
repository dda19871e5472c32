"""Wishes at rails: to bring money in, to send it out, and what sweepers do without anybody asking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from datastores import ledger
from datastores.commit import Act
from resolvers.wallets.rails import ask_rails, top_up_wallet, withdraw_from_wallet
from resolvers.wallets.reconciliation import reconcile_days
from tests.simulation.quarters import Door
from tests.simulation.usecases import carried_out, context

RAIL = "sandbox"


class Kind(StrEnum):
    """What is wanted."""

    TOP_UP = "top_up"
    WITHDRAW = "withdraw"
    ASK = "ask_rails"
    RECONCILE = "reconcile_days"


@dataclass(frozen=True)
class Wish:
    """One wish; `account` is that of the sandbox, which behaves as it is called. A sweeper has no caller."""

    kind: Kind
    key: str
    caller: str = ""
    name: str = ""
    amount: int = 0
    currency: str = "EUR"
    account: str = ""
    on_act: Callable[[Wish, Act[Any]], None] = field(default=lambda wish, act: None, compare=False, repr=False)

    def __str__(self) -> str:
        return " ".join(str(part) for part in (self.kind, self.name, self.key, self.amount, self.account) if part)

    @property
    def is_inward(self) -> bool:
        """Whether money comes in."""
        return self.kind is Kind.TOP_UP

    @property
    def input(self) -> tuple[Any, ...]:
        """What tells this input from others under its key."""
        return self.kind, self.amount, self.currency, self.account

    @property
    def wallet(self) -> str:
        """The wallet that it is about."""
        return ledger.wallet_id(self.caller, self.currency)

    @property
    def source(self) -> str:
        """The account that pays."""
        return ledger.rail_account_id(RAIL, self.currency) if self.is_inward else self.wallet

    @property
    def target(self) -> str:
        """The account that is paid."""
        return self.wallet if self.is_inward else ledger.rail_account_id(RAIL, self.currency)

    @property
    def loop(self) -> str:
        """The loop of all money."""
        return ledger.COMMIT_LOOP

    async def ask(self, door: Door, salt: str) -> Any:
        """What the resolver answers."""
        ctx = context(door.process, lambda act: self.on_act(self, act), self.caller or None)
        if self.kind is Kind.ASK:
            return await carried_out(ask_rails(ctx))
        if self.kind is Kind.RECONCILE:
            return await carried_out(reconcile_days(ctx))
        amount = Decimal(self.amount).scaleb(-ledger.EXPONENTS[self.currency])
        given: Any = {"amount": amount, "currency": self.currency}
        place = f"{RAIL}:{self.account}"
        if self.is_inward:
            asked = top_up_wallet(ctx, idempotency_key=self.key, wallet_id=self.wallet, amount=given, source=place)
        else:
            asked = withdraw_from_wallet(
                ctx, idempotency_key=self.key, wallet_id=self.wallet, amount=given, destination=place
            )
        return await carried_out(asked)

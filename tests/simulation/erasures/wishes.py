"""Wishes of people who write memos, and of those who want to be erased."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from datastores import ledger
from datastores.commit import Act
from resolvers.erasure import erase_person, finish_erasures
from resolvers.wallets.transfers import Target, transfer_funds
from tests.simulation.quarters import Door
from tests.simulation.usecases import carried_out, context


class Kind(StrEnum):
    """What is wanted."""

    SEND = "send"
    ERASE = "erase"
    FINISH = "finish_erasures"


@dataclass(frozen=True)
class Wish:
    """One wish; of an erasure `payee` is who is to be erased."""

    kind: Kind
    key: str
    caller: str = ""
    payee: str = ""
    name: str = ""
    amount: int = 0
    currency: str = "EUR"
    memo: str = ""
    on_act: Callable[[Wish, Act[Any]], None] = field(default=lambda wish, act: None, compare=False, repr=False)

    def __str__(self) -> str:
        return " ".join(str(part) for part in (self.kind, self.name, self.key, self.amount or "", self.memo) if part)

    @property
    def input(self) -> tuple[Any, ...]:
        """What tells this input from others under its key."""
        return self.kind, self.payee, self.amount, self.currency, self.memo

    @property
    def source(self) -> str:
        """The wallet that pays."""
        return ledger.wallet_id(self.caller, self.currency)

    @property
    def target(self) -> str:
        """The wallet that is paid."""
        return ledger.wallet_id(self.payee, self.currency)

    @property
    def loop(self) -> str:
        """The loop of all money."""
        return ledger.COMMIT_LOOP

    async def ask(self, door: Door, salt: str) -> Any:
        """What the resolver answers."""
        ctx = context(door.process, lambda act: self.on_act(self, act), self.caller or None)
        if self.kind is Kind.ERASE:
            return await carried_out(erase_person(ctx, self.payee))
        if self.kind is Kind.FINISH:
            return await carried_out(finish_erasures(ctx))
        given: Any = {
            "amount": Decimal(self.amount).scaleb(-ledger.EXPONENTS[self.currency]),
            "currency": self.currency,
        }
        is_resident = self.payee.startswith("usr_")
        to = Target(user_id=self.payee) if is_resident else Target(wallet_id=self.target)
        return await carried_out(transfer_funds(ctx, idempotency_key=self.key, amount=given, to=to, memo=self.memo))

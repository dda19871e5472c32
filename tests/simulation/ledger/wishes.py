"""Wishes: what a client wants of the ledger, under which key; the same wish makes the same act at every try."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from datastores import ledger
from datastores.commit import Act
from datastores.errors import TransferRefusedError
from datastores.ledger import AccountKind, Command, Entry, FollowUp, Party, Transfer, WalletStatus
from tests.simulation.quarters import Door

RAIL = "sandbox"
FOLLOW_UP = "message"


class Kind(StrEnum):
    """What is wanted."""

    TRANSFER = "transfer"
    TOP_UP = "top_up"
    RESERVE = "reserve"
    SETTLE = "settle"
    RELEASE = "release"
    REFUND = "refund"
    HOLD = "hold"
    CAPTURE = "capture"
    VOID = "void"
    EXPIRE = "expire"
    STATUS = "status"
    OPEN = "open"


@dataclass(frozen=True)
class Wish:
    """One wish. `payer` is empty where money comes from the rail; `subject` is the entry to be refunded or resolved."""

    kind: Kind
    caller: str
    key: str
    payer: str = ""
    payee: str = ""
    amount: int | None = None
    currency: str = "EUR"
    payee_currency: str = "EUR"
    subject: Entry | None = field(default=None, hash=False)
    status: WalletStatus = WalletStatus.OPEN
    follows: bool = False
    expires_at: datetime | None = None
    final: bool = False

    def __str__(self) -> str:
        subject = self.subject["_id"][-6:] if self.subject else ""
        parts = (self.kind, self.caller, self.key, self.payer, self.payee, self.amount, self.currency, subject)
        return " ".join(str(part) for part in (*parts, self.status) if part not in ("", None))

    @cached_property
    def source(self) -> str:
        """The account that pays."""
        if not self.payer:
            return ledger.rail_account_id(RAIL, self.currency)
        return ledger.wallet_id(self.payer, self.currency)

    @cached_property
    def target(self) -> str:
        """The account that is paid, frozen or opened."""
        return ledger.wallet_id(self.payee, self.payee_currency)

    @property
    def needs(self) -> str | None:
        """The wallet without which nothing can be found to act on."""
        if self.kind is Kind.STATUS:
            return self.target
        return self.source if self.payer and self.kind is not Kind.OPEN else None

    def command(self, salt: str) -> Command:
        """Its command; each try has a salt of its own, as each request of a client has."""
        if self.kind is Kind.EXPIRE:
            return ledger.system_command("expire", self.subject["_id"] if self.subject else "", salt=salt)
        request: dict[str, Any] = {
            "payer": self.payer,
            "payee": self.payee,
            "amount": self.amount,
            "currency": self.currency,
            "subject": self.subject["_id"] if self.subject else None,
            "status": self.status.value,
            "expires_at": self.expires_at,
            "final": self.final,
        }
        return ledger.command(self.caller, self.key, self.kind.value, request, salt=salt)

    @cached_property
    def request_hash(self) -> str:
        """What tells this input from others under its key."""
        return self.command("").request_hash

    @cached_property
    def entry_id(self) -> str:
        """The entry that answers its key."""
        return self.command("").entry_id

    @property
    def loop(self) -> str:
        """The loop of all money."""
        return ledger.COMMIT_LOOP

    async def ask(self, door: Door, salt: str) -> Any:
        """What the ledger decides."""
        return await door.submit(self.act(salt))

    def act(self, salt: str) -> Act[Any]:
        """The act of the ledger that fulfils it."""
        command = self.command(salt)
        if self.kind is Kind.OPEN:
            return ledger.OpenWallet(self.payee, self.currency)
        if self.kind is Kind.STATUS:
            return ledger.SetStatus(command, self.target, self.status)
        if self.subject is not None:
            if self.kind is Kind.REFUND:
                return ledger.RefundTransfer(command, self.subject, self.amount)
            if self.kind is Kind.CAPTURE:
                return ledger.CaptureHold(command, self.subject, self.amount, self.final)
            if self.kind is Kind.VOID:
                return ledger.VoidHold(command, self.subject)
            if self.kind is Kind.EXPIRE:
                return ledger.ExpireHold(command, self.subject)
            error = TransferRefusedError("The rail refused") if self.kind is Kind.RELEASE else None
            return ledger.ResolveReserve(command, self.subject, error)
        follow_up = FollowUp(FOLLOW_UP, self.payee, {}) if self.follows else None
        if self.kind is Kind.HOLD:
            return ledger.PlaceHold(command, self.transfer(), self.expires_at, follow_up)
        if self.kind is Kind.RESERVE:
            return ledger.ReserveTransfer(command, self.transfer(), follow_up)
        return ledger.PostTransfer(command, self.transfer(), follow_up)

    def transfer(self) -> Transfer:
        """The movement that is wanted."""
        source = Party(self.source, owner_id=self.payer) if self.payer else Party(self.source, AccountKind.RAIL)
        return Transfer(
            source,
            Party(self.target, owner_id=self.payee),
            self.amount or 0,
            self.currency,
            sender_id=self.payer or None,
            recipient_id=self.payee,
        )

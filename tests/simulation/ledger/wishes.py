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
from datastores.ledger import (
    AccountKind,
    Command,
    Entry,
    FollowUp,
    Party,
    QuoteDocument,
    Tier,
    Transfer,
    WalletStatus,
)
from tests.simulation.quarters import Door

# One that is never asked: the quarter of rails has those that are.
RAIL = "unasked"
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
    EXCHANGE = "exchange"
    REVERSE = "reverse"
    CLOSE = "close"
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
    fee: int = 0
    limited: bool = False
    quote: QuoteDocument | None = field(default=None, hash=False)

    def __str__(self) -> str:
        subject = self.subject["_id"][-6:] if self.subject else ""
        where = self.payee_currency if self.kind in (Kind.STATUS, Kind.CLOSE) else self.currency
        parts = (self.kind, self.caller, self.key, self.payer, self.payee, self.amount, where, subject)
        return " ".join(str(part) for part in (*parts, self.status) if part not in ("", None))

    @cached_property
    def source(self) -> str:
        """The account that pays."""
        if self.quote:
            return ledger.wallet_id(self.caller, self.quote["sell"]["currency"])
        if not self.payer:
            return ledger.rail_account_id(RAIL, self.currency)
        return ledger.wallet_id(self.payer, self.currency)

    @cached_property
    def target(self) -> str:
        """The account that is paid, frozen, closed or opened."""
        if self.quote:
            return ledger.wallet_id(self.caller, self.quote["buy"]["currency"])
        return ledger.wallet_id(self.payee, self.payee_currency)

    @property
    def tier(self) -> Tier:
        """What the wallets of people count as who have no tier of their own."""
        return Tier.UNVERIFIED if self.limited else Tier.BUSINESS

    @property
    def needs(self) -> str | None:
        """The wallet without which nothing can be found to act on."""
        if self.kind in (Kind.STATUS, Kind.CLOSE):
            return self.target
        if self.kind is Kind.EXCHANGE:
            return self.source
        return self.source if self.payer and self.kind is not Kind.OPEN else None

    def command(self, salt: str) -> Command:
        """Its command; each try has a salt of its own, as each request of a client has."""
        if self.kind in (Kind.EXPIRE, Kind.REVERSE):
            return ledger.system_command(self.kind.value, self.subject["_id"] if self.subject else "", salt=salt)
        request: dict[str, Any] = {
            "payer": self.payer,
            "payee": self.payee,
            "amount": self.amount,
            "currency": self.currency,
            "subject": self.subject["_id"] if self.subject else None,
            "status": self.status.value,
            "expires_at": self.expires_at,
            "final": self.final,
            "fee": self.fee,
            "quote": self.quote["_id"] if self.quote else None,
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
            return ledger.OpenWallet(self.payee, self.currency, salt)
        if self.kind is Kind.CLOSE:
            return ledger.CloseWallet(self.payee, self.target, salt)
        if self.kind is Kind.STATUS:
            return ledger.SetStatus(command, self.target, self.status)
        if self.quote:
            return ledger.ExchangeFunds(command, self.quote, default_tier=self.tier)
        if self.subject is not None:
            return self._act_about(command, self.subject)
        follow_up = FollowUp(FOLLOW_UP, self.payee, {}) if self.follows else None
        if self.kind is Kind.HOLD:
            return ledger.PlaceHold(command, self.transfer(), self.expires_at, follow_up)
        if self.kind is Kind.RESERVE:
            return ledger.ReserveTransfer(command, self.transfer(), follow_up)
        return ledger.PostTransfer(command, self.transfer(), follow_up)

    def _act_about(self, command: Command, subject: Entry) -> Act[Any]:
        match self.kind:
            case Kind.REFUND:
                return ledger.RefundTransfer(command, subject, self.amount)
            case Kind.CAPTURE:
                return ledger.CaptureHold(command, subject, self.amount, self.final)
            case Kind.VOID:
                return ledger.VoidHold(command, subject)
            case Kind.EXPIRE:
                return ledger.ExpireHold(command, subject)
            case Kind.REVERSE:
                return ledger.ReverseEntry(command, subject, "a mistake")
            case Kind.RELEASE:
                return ledger.ResolveReserve(command, subject, TransferRefusedError("The rail refused"))
            case _:
                return ledger.ResolveReserve(command, subject)

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
            fee=Party(ledger.fees_account_id(self.currency), AccountKind.FEES) if self.fee else None,
            fee_amount=self.fee,
            default_tier=self.tier,
        )
